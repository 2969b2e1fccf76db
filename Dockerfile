# One image for the gateway (the default command) and the operator (node operator/main.ts).
FROM node:26.10.0-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Only what runs; without source maps, type declarations and the like, which nothing reads at run time.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
 && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.md' \) -delete

FROM node:26.10.0-bookworm-slim
LABEL org.opencontainers.image.title="im-cluster" \
      org.opencontainers.image.description="Instant-messaging connection gateway and its Kubernetes operator" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY protocol protocol
COPY process process
COPY session session
COPY client client
COPY gateway gateway
COPY operator operator
USER 1000:1000
EXPOSE 9000 8080 9090
CMD ["node", "gateway/main.ts"]
