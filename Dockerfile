# syntax=docker/dockerfile:1
#
# Bayou as a small image that runs as nobody in particular on a read-only root file system.
#
#   docker build -t bayou .
#   docker run --rm --read-only -p 9092:9092 -p 9644:9644 -v bayou-data:/var/lib/bayou bayou --advertise 127.0.0.1:9092
#
# On S3 nothing is written to a disk: pass --store s3://bucket/prefix and the AWS variables, and leave the volume out.

# The whole tool chain: JavaScript out of TypeScript, as in the published package.
FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.base.json tsconfig.build.json ./
COPY protocol ./protocol
COPY storage ./storage
COPY src ./src
RUN npx tsc -p tsconfig.build.json

# What it runs with. The image brings its own Node, so the npm package `node` (a launcher without its install script) is left out.
FROM node:24-slim AS dependencies
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts \
  && rm -rf node_modules/node node_modules/node-bin-* node_modules/.bin

FROM node:24-slim
# The allocator: see bin/bayou.js.
ENV NODE_ENV=production MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=4194304
# Neither is needed to run, and less is there to be attacked.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn* /opt/yarn* \
  && install -d -o 65532 -g 65532 -m 0750 /var/lib/bayou
WORKDIR /opt/bayou
COPY --from=dependencies /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY package.json LICENSE ./
COPY bin ./bin
# A number, so that an orchestrator can see that it is not root.
USER 65532:65532
VOLUME /var/lib/bayou
EXPOSE 9092 9644
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9644/health/ready').then(answer => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# node is process 1 and handles its signals itself; the broker starts no children. Its heap: see bin/bayou.js.
ENTRYPOINT ["node", "--max-semi-space-size=4", "--semi-space-growth-factor=1", "dist/src/main.js", "serve", "--listen", "0.0.0.0:9092", "--http", "0.0.0.0:9644"]
CMD ["--advertise", "127.0.0.1:9092", "--store", "/var/lib/bayou"]
