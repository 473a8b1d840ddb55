#!/bin/sh
# Prints the path of Kafka's Java client, whose jar holds the message definitions that test/protocol compares ours with.
# Takes KAFKA_CLIENTS_JAR where it is set, then the local Maven repository, then asks Maven for it.
set -eu

version=4.3.1
if [ -n "${KAFKA_CLIENTS_JAR:-}" ]; then
  [ -f "$KAFKA_CLIENTS_JAR" ] || { echo "KAFKA_CLIENTS_JAR names no file: $KAFKA_CLIENTS_JAR" >&2; exit 1; }
  echo "$KAFKA_CLIENTS_JAR"
  exit 0
fi

jar="${HOME}/.m2/repository/org/apache/kafka/kafka-clients/$version/kafka-clients-$version.jar"
if [ ! -f "$jar" ]; then
  command -v mvn >/dev/null || { echo "kafka-clients $version is not here, and neither is mvn to fetch it" >&2; exit 1; }
  mvn -q -B dependency:get "-Dartifact=org.apache.kafka:kafka-clients:$version" >&2
fi
[ -f "$jar" ] || { echo "Maven did not put kafka-clients $version into $jar" >&2; exit 1; }
echo "$jar"
