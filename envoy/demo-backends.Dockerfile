# The `pointsman` and `pointsman-lab` commands in a small image, for the backends and the policy server of docker-compose.yml.
# It is built from source, so that it needs nothing from the machine that builds it.

FROM rust:1.95.0-slim-trixie AS build
WORKDIR /source
COPY . .
RUN cargo build --locked --release --package pointsman-cli --package pointsman-lab

FROM debian:trixie-slim
COPY --from=build /source/target/release/pointsman /source/target/release/pointsman-lab /usr/local/bin/
WORKDIR /pointsman
USER 65534:65534
