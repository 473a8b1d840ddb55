import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.Gauge;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.Metric;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.MetricsData;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.NumberDataPoint;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.ResourceMetrics;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.ScopeMetrics;

/** The broker and its cluster: versions, features, quorum, ACLs, telemetry of clients. */
final class ClusterCases {
    private static final byte ANY = 1;

    private ClusterCases() {}

    static void addTo(Map<ApiKeys, Case> cases) {
        cases.put(ApiKeys.API_VERSIONS, ClusterCases::apiVersions);
        cases.put(ApiKeys.DESCRIBE_CLUSTER, ClusterCases::describeCluster);
        cases.put(ApiKeys.DESCRIBE_QUORUM, ClusterCases::describeQuorum);
        cases.put(ApiKeys.UPDATE_FEATURES, ClusterCases::updateFeatures);
        cases.put(ApiKeys.DESCRIBE_ACLS, ClusterCases::describeAcls);
        cases.put(ApiKeys.CREATE_ACLS, ClusterCases::createAcls);
        cases.put(ApiKeys.DELETE_ACLS, ClusterCases::deleteAcls);
        cases.put(ApiKeys.GET_TELEMETRY_SUBSCRIPTIONS, ClusterCases::getTelemetrySubscriptions);
        cases.put(ApiKeys.PUSH_TELEMETRY, ClusterCases::pushTelemetry);
    }

    private static String apiVersions(Bench bench, short version) throws Exception {
        ApiVersionsRequestData request = new ApiVersionsRequestData();
        if (version >= 3) request.setClientSoftwareName("every-version").setClientSoftwareVersion("1.0");
        ApiVersionsResponseData response = bench.ask(ApiKeys.API_VERSIONS, version, request);
        Check.fine("ApiVersions", response.errorCode());
        Check.equal("APIs", bench.advertised.apiKeys().size(), response.apiKeys().size());
        for (var api : bench.advertised.apiKeys()) Check.equal("versions", api, response.apiKeys().find(api.apiKey()));
        if (version >= 3) {
            Check.that("finalized features", response.finalizedFeaturesEpoch() >= 0 && !response.finalizedFeatures().isEmpty());
            for (var feature : response.finalizedFeatures()) {
                var supported = response.supportedFeatures().find(feature.name());
                // Before version 4 a feature whose lowest level is 0 is left out (KAFKA-17011).
                if (version < 4 && supported == null) continue;
                Check.that(feature.name() + " is supported", supported != null && feature.maxVersionLevel() <= supported.maxVersion());
            }
            ApiVersionsResponseData refused = bench.ask(ApiKeys.API_VERSIONS, version, request.duplicate().setClientSoftwareName("no good"));
            Check.error("a malformed name", Errors.INVALID_REQUEST, refused.errorCode());
        }
        return "the same APIs and versions" + (version >= 3 ? ", features; a malformed name of a client refused" : "");
    }

    private static String describeCluster(Bench bench, short version) throws Exception {
        DescribeClusterRequestData request = new DescribeClusterRequestData();
        DescribeClusterResponseData response = bench.ask(ApiKeys.DESCRIBE_CLUSTER, version, request);
        Check.fine("DescribeCluster", response.errorCode());
        MetadataResponseData metadata = bench.ask(ApiKeys.METADATA, new MetadataRequestData());
        Check.equal("cluster id", metadata.clusterId(), response.clusterId());
        var broker = Check.only("brokers", response.brokers());
        Check.equal("broker", bench.nodeId(), broker.brokerId());
        Check.equal("port", bench.port, broker.port());
        Check.equal("fenced", false, broker.isFenced());
        Check.equal("controller", bench.nodeId(), response.controllerId());
        Check.equal("operations that nobody asked for", Integer.MIN_VALUE, response.clusterAuthorizedOperations());
        DescribeClusterResponseData told = bench.ask(ApiKeys.DESCRIBE_CLUSTER, version, request.duplicate().setIncludeClusterAuthorizedOperations(true));
        Check.that("operations", told.clusterAuthorizedOperations() != Integer.MIN_VALUE);
        if (version >= 1) {
            byte controllers = 2;
            DescribeClusterResponseData refused = bench.ask(ApiKeys.DESCRIBE_CLUSTER, version, request.duplicate().setEndpointType(controllers));
            Check.error("controllers", Errors.MISMATCHED_ENDPOINT_TYPE, refused.errorCode());
        }
        if (version >= 2) {
            DescribeClusterResponseData all = bench.ask(ApiKeys.DESCRIBE_CLUSTER, version, request.duplicate().setIncludeFencedBrokers(true));
            Check.equal("brokers, fenced ones with them", 1, all.brokers().size());
        }
        return "the one broker";
    }

    private static String describeQuorum(Bench bench, short version) throws Exception {
        DescribeQuorumRequestData request = new DescribeQuorumRequestData();
        var asked = new DescribeQuorumRequestData.TopicData().setTopicName("__cluster_metadata");
        asked.partitions().add(new DescribeQuorumRequestData.PartitionData().setPartitionIndex(0));
        request.topics().add(asked);
        DescribeQuorumResponseData response = bench.ask(ApiKeys.DESCRIBE_QUORUM, version, request);
        Check.fine("DescribeQuorum", response.errorCode());
        var partition = Check.only("partitions", Check.only("topics", response.topics()).partitions());
        Check.fine("the quorum", partition.errorCode());
        var voter = Check.only("voters", partition.currentVoters());
        Check.equal("leader", voter.replicaId(), partition.leaderId());
        Check.that("a high watermark", partition.highWatermark() > 0);
        Check.that("an end of the log", voter.logEndOffset() >= partition.highWatermark());
        if (version >= 2) Check.equal("nodes", voter.replicaId(), Check.only("nodes", response.nodes()).nodeId());
        return "a quorum of one";
    }

    private static String updateFeatures(Bench bench, short version) throws Exception {
        var level = bench.advertised.finalizedFeatures().find("metadata.version");
        Check.that("a level of metadata.version", level != null);
        Check.equal("the level in force", "NONE", updated(bench, version, "metadata.version", level.maxVersionLevel()));
        Check.equal("a level that is not", "INVALID_UPDATE_VERSION", updated(bench, version, "metadata.version", (short) 9999));
        Check.equal("a feature that is not", "INVALID_UPDATE_VERSION", updated(bench, version, "no.such", (short) 1));
        return "the level in force; unknown levels and features refused";
    }

    /** A refusal is one for all features; success is told for each feature up to version 1 (KIP-1022). */
    private static String updated(Bench bench, short version, String feature, short level) throws Exception {
        UpdateFeaturesRequestData request = new UpdateFeaturesRequestData();
        request.featureUpdates().add(new UpdateFeaturesRequestData.FeatureUpdateKey().setFeature(feature).setMaxVersionLevel(level));
        if (version >= 1) request.setValidateOnly(true);
        UpdateFeaturesResponseData response = bench.ask(ApiKeys.UPDATE_FEATURES, version, request);
        Errors error = Errors.forCode(response.errorCode());
        if (version >= 2 || error != Errors.NONE) Check.equal("results", 0, response.results().size());
        else Check.fine(feature, Check.only("features", response.results()).errorCode());
        return error.name();
    }

    // ---- ACLs: there is no authorizer ------------------------------------------------------------------------------------------------

    private static String describeAcls(Bench bench, short version) throws Exception {
        DescribeAclsRequestData request = new DescribeAclsRequestData().setResourceTypeFilter(ANY).setResourceNameFilter(null).setPatternTypeFilter(ANY)
            .setPrincipalFilter(null).setHostFilter(null).setOperation(ANY).setPermissionType(ANY);
        DescribeAclsResponseData response = bench.ask(ApiKeys.DESCRIBE_ACLS, version, request);
        Check.error("without an authorizer", Errors.SECURITY_DISABLED, response.errorCode());
        Check.equal("ACLs", 0, response.resources().size());
        return "SECURITY_DISABLED, as by a Kafka without an authorizer";
    }

    private static String createAcls(Bench bench, short version) throws Exception {
        CreateAclsRequestData request = new CreateAclsRequestData();
        byte literal = 3, read = 3, allow = 3;
        request.creations().add(new CreateAclsRequestData.AclCreation().setResourceType(Bench.TOPIC).setResourceName("t").setResourcePatternType(literal)
            .setPrincipal("User:a").setHost("*").setOperation(read).setPermissionType(allow));
        CreateAclsResponseData response = bench.ask(ApiKeys.CREATE_ACLS, version, request);
        Check.error("without an authorizer", Errors.SECURITY_DISABLED, Check.only("results", response.results()).errorCode());
        return "SECURITY_DISABLED, as by a Kafka without an authorizer";
    }

    private static String deleteAcls(Bench bench, short version) throws Exception {
        DeleteAclsRequestData request = new DeleteAclsRequestData();
        request.filters().add(new DeleteAclsRequestData.DeleteAclsFilter().setResourceTypeFilter(ANY).setResourceNameFilter(null).setPatternTypeFilter(ANY)
            .setPrincipalFilter(null).setHostFilter(null).setOperation(ANY).setPermissionType(ANY));
        DeleteAclsResponseData response = bench.ask(ApiKeys.DELETE_ACLS, version, request);
        Check.error("without an authorizer", Errors.SECURITY_DISABLED, Check.only("results", response.filterResults()).errorCode());
        return "SECURITY_DISABLED, as by a Kafka without an authorizer";
    }

    // ---- telemetry of clients (KIP-714) -------------------------------------------------------------------------------------------------

    private static final String METRIC = "org.apache.kafka.producer.connection.count";

    private static GetTelemetrySubscriptionsResponseData subscribed(Bench bench, short version, String name, String metrics) throws Exception {
        bench.configure(Bench.CLIENT_METRICS, name, "metrics", metrics);
        bench.configure(Bench.CLIENT_METRICS, name, "interval.ms", "30000");
        GetTelemetrySubscriptionsResponseData response = bench.ask(ApiKeys.GET_TELEMETRY_SUBSCRIPTIONS, version, new GetTelemetrySubscriptionsRequestData());
        Check.fine("GetTelemetrySubscriptions", response.errorCode());
        Check.that("an instance id", !response.clientInstanceId().equals(Uuid.ZERO_UUID));
        Check.that("compression types", response.acceptedCompressionTypes().containsAll(List.of((byte) 1, (byte) 4)));
        Check.that("a limit", response.telemetryMaxBytes() > 0);
        return response;
    }

    private static String getTelemetrySubscriptions(Bench bench, short version) throws Exception {
        String name = Bench.name(ApiKeys.GET_TELEMETRY_SUBSCRIPTIONS, version);
        var one = subscribed(bench, version, name, METRIC);
        Check.that("the metrics", one.requestedMetrics().contains(METRIC));
        Check.that("an interval", one.pushIntervalMs() > 0 && one.pushIntervalMs() <= 30_000);
        return "an instance id, and the metrics that are wanted";
    }

    private static String pushTelemetry(Bench bench, short version) throws Exception {
        String name = Bench.name(ApiKeys.PUSH_TELEMETRY, version);
        var subscription = subscribed(bench, bench.newest.get(ApiKeys.GET_TELEMETRY_SUBSCRIPTIONS), name, METRIC);
        NumberDataPoint point = NumberDataPoint.newBuilder().setAsDouble(7.5).setTimeUnixNano(System.currentTimeMillis() * 1_000_000L).build();
        Metric metric = Metric.newBuilder().setName(METRIC).setGauge(Gauge.newBuilder().addDataPoints(point)).build();
        byte[] metrics = MetricsData.newBuilder().addResourceMetrics(ResourceMetrics.newBuilder().addScopeMetrics(ScopeMetrics.newBuilder().addMetrics(metric))).build()
            .toByteArray();
        PushTelemetryRequestData request = new PushTelemetryRequestData().setClientInstanceId(subscription.clientInstanceId())
            .setSubscriptionId(subscription.subscriptionId()).setMetrics(ByteBuffer.wrap(metrics));
        PushTelemetryResponseData pushed = bench.ask(ApiKeys.PUSH_TELEMETRY, version, request);
        Check.fine("pushing", pushed.errorCode());
        PushTelemetryResponseData last = bench.ask(ApiKeys.PUSH_TELEMETRY, version, request.duplicate().setTerminating(true));
        Check.fine("the last push", last.errorCode());

        var other = subscribed(bench, bench.newest.get(ApiKeys.GET_TELEMETRY_SUBSCRIPTIONS), name, METRIC);
        PushTelemetryResponseData stale = bench.ask(ApiKeys.PUSH_TELEMETRY, version,
            request.duplicate().setClientInstanceId(other.clientInstanceId()).setSubscriptionId(other.subscriptionId() ^ 1));
        Check.error("an unknown subscription", Errors.UNKNOWN_SUBSCRIPTION_ID, stale.errorCode());
        return "a gauge, and a last push; an unknown subscription refused";
    }
}
