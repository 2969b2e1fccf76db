# One image for the gateway (the default command), the operator (node operator/main.ts) and the client (node client/cli/main.ts).
FROM node:26.10.0-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Only what runs, and the licenses: no types, sources, source maps, documents, or binaries of other runtimes than Node.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
 && find node_modules -type f \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.md' -o -name '*.bare' \) \
      ! -iname 'licen[cs]e*' -delete \
 && find node_modules -type d -empty -delete

FROM node:26.10.0-bookworm-slim
# One thread allocates nearly all memory: with one arena, trimmed at a fixed size, what a flood took goes back to the system.
ENV NODE_ENV=production MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY protocol protocol
COPY server server
COPY session session
COPY client client
COPY gateway gateway
COPY controller controller
COPY operator operator
USER 1000:1000
EXPOSE 9000 8080 9090
CMD ["node", "gateway/main.ts"]
# What only a build knows, revision and created, comes by docker build --label: see docs/operations.md.
LABEL org.opencontainers.image.title="im-cluster" \
      org.opencontainers.image.description="Instant-messaging connection gateway, its Kubernetes operator, and the im command" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/node:26.10.0-bookworm-slim"
