# The `pointsman` command in a small image, for the backends of docker-compose.yml. It is built from source, so that it
# needs nothing from the machine that builds it.

FROM rust:1.95.0-slim-trixie AS build
WORKDIR /source
COPY . .
RUN cargo build --locked --release --package pointsman-cli

FROM debian:trixie-slim
COPY --from=build /source/target/release/pointsman /usr/local/bin/pointsman
WORKDIR /pointsman
USER 65534:65534
ENTRYPOINT ["pointsman"]
