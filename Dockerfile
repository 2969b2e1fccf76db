# One image for the gateway (the default command), the operator (node operator/main.ts) and the client (node client/cli/main.ts).
FROM node:26.10.0-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY LICENSE ./
COPY dev/image dev/image
COPY protocol protocol
COPY server server
COPY session session
COPY client client
COPY gateway gateway
COPY controller controller
COPY operator operator
RUN node dev/image/build.ts /image

# Node and what it is linked with: no shell, no npm, no packages of Debian that only they need. Of the packages that the libraries come
# from also the licences, and the records by which scanners know their versions.
FROM node:26.10.0-bookworm-slim AS base
RUN set -eu; mkdir -p /base/var/lib/dpkg/status.d; install -d -m 1777 /base/tmp; \
    libraries=$(ldd /usr/local/bin/node | grep -o '/[^ ]*'); \
    cp -L --parents /usr/local/bin/node $libraries /etc/passwd /etc/group /etc/nsswitch.conf /etc/os-release /base; \
    if [ -e /usr/local/LICENSE ]; then install -D -m 644 /usr/local/LICENSE /base/licenses/node/LICENSE; fi; \
    for package in $(for it in $libraries; do dpkg -S "*$it"; done | cut -d : -f 1 | sort -u); do \
      dpkg-query --status "$package" >"/base/var/lib/dpkg/status.d/$package"; \
      cp -L --parents "/usr/share/doc/$package/copyright" /base; \
    done

FROM scratch
# One thread allocates nearly all memory: with one arena, trimmed at a fixed size, what a flood took goes back to the system.
ENV PATH=/usr/local/bin NODE_ENV=production MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072
WORKDIR /app
COPY --from=base /base/ /
COPY --from=build /image/ /
USER 1000:1000
EXPOSE 9000 8080 9090
CMD ["node", "gateway/main.ts"]
# What only a build knows, revision and created, comes by docker build --label: see docs/operations.md.
LABEL org.opencontainers.image.title="im-cluster" \
      org.opencontainers.image.description="Instant-messaging connection gateway, its Kubernetes operator, and the im command" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/node:26.10.0-bookworm-slim"
