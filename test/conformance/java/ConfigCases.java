import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;

/** Configs of topics, brokers, groups and client metrics. */
final class ConfigCases {
    private ConfigCases() {}

    static void addTo(Map<ApiKeys, Case> cases) {
        cases.put(ApiKeys.DESCRIBE_CONFIGS, ConfigCases::describeConfigs);
        cases.put(ApiKeys.ALTER_CONFIGS, ConfigCases::alterConfigs);
        cases.put(ApiKeys.INCREMENTAL_ALTER_CONFIGS, ConfigCases::incrementalAlterConfigs);
        cases.put(ApiKeys.LIST_CONFIG_RESOURCES, ConfigCases::listConfigResources);
    }

    private static String describeConfigs(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.DESCRIBE_CONFIGS, version);
        bench.createTopic(topic, 1);
        bench.configure(Bench.TOPIC, topic, "retention.ms", "3600000");
        DescribeConfigsRequestData request = new DescribeConfigsRequestData().setIncludeSynonyms(true);
        if (version >= 3) request.setIncludeDocumentation(true);
        request.resources().add(new DescribeConfigsRequestData.DescribeConfigsResource().setResourceType(Bench.TOPIC).setResourceName(topic).setConfigurationKeys(null));
        DescribeConfigsResponseData response = bench.ask(ApiKeys.DESCRIBE_CONFIGS, version, request);
        var result = Check.only("resources", response.results());
        Check.fine(topic, result.errorCode());
        Check.equal("type", Bench.TOPIC, result.resourceType());
        Check.equal("name", topic, result.resourceName());
        var set = named(result, "retention.ms");
        Check.equal("retention.ms", "3600000", set.value());
        Check.equal("source", (byte) 1, set.configSource());
        Check.equal("sensitive", false, set.isSensitive());
        Check.equal("first synonym", "3600000", set.synonyms().get(0).value());
        Check.equal("source of the first synonym", (byte) 1, set.synonyms().get(0).source());
        var inherited = named(result, "max.message.bytes");
        Check.equal("source of what was not set", (byte) 5, inherited.configSource());
        if (version >= 3) {
            Check.equal("type of retention.ms", (byte) 5, set.configType());
            Check.that("documentation", set.documentation() != null && !set.documentation().isEmpty());
        }
        DescribeConfigsRequestData two = new DescribeConfigsRequestData();
        two.resources().add(new DescribeConfigsRequestData.DescribeConfigsResource().setResourceType(Bench.TOPIC).setResourceName(topic)
            .setConfigurationKeys(List.of("cleanup.policy")));
        two.resources().add(new DescribeConfigsRequestData.DescribeConfigsResource().setResourceType(Bench.BROKER).setResourceName(String.valueOf(bench.nodeId()))
            .setConfigurationKeys(List.of("num.partitions")));
        two.resources().add(new DescribeConfigsRequestData.DescribeConfigsResource().setResourceType(Bench.TOPIC).setResourceName(topic + "-unknown")
            .setConfigurationKeys(null));
        DescribeConfigsResponseData named = bench.ask(ApiKeys.DESCRIBE_CONFIGS, version, two);
        Check.equal("resources", 3, named.results().size());
        var policy = Check.only("configs", named.results().get(0).configs());
        Check.equal("cleanup.policy", "delete", policy.value());
        Check.equal("synonyms that nobody asked for", 0, policy.synonyms().size());
        if (version >= 3) Check.equal("documentation that nobody asked for", null, policy.documentation());
        Check.that("num.partitions", Integer.parseInt(Check.only("configs", named.results().get(1).configs()).value()) > 0);
        Check.error("an unknown topic", Errors.UNKNOWN_TOPIC_OR_PARTITION, named.results().get(2).errorCode());
        return "all configs of a topic, one of a broker; sources, synonyms" + (version >= 3 ? ", types, documentation" : "");
    }

    private static DescribeConfigsResponseData.DescribeConfigsResourceResult named(DescribeConfigsResponseData.DescribeConfigsResult result, String name) {
        return result.configs().stream().filter(config -> config.name().equals(name)).findFirst().orElseThrow(() -> new AssertionError("no config " + name));
    }

    private static String alterConfigs(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.ALTER_CONFIGS, version);
        bench.createTopic(topic, 1);
        bench.configure(Bench.TOPIC, topic, "retention.bytes", "12345");
        Check.fine("tried only", replaced(bench, version, topic, "retention.ms", "7200000", true));
        Check.equal("retention.ms, tried only", (byte) 5, bench.config(Bench.TOPIC, topic, "retention.ms").configSource());
        Check.fine("altering", replaced(bench, version, topic, "retention.ms", "7200000", false));
        Bench.eventually("retention.ms", () -> "7200000".equals(bench.config(Bench.TOPIC, topic, "retention.ms").value()));
        Check.equal("what was not named has its default", "-1", bench.config(Bench.TOPIC, topic, "retention.bytes").value());
        Check.error("a bad value", Errors.INVALID_CONFIG, replaced(bench, version, topic, "retention.ms", "soon", false));
        Check.error("an unknown config", Errors.INVALID_CONFIG, replaced(bench, version, topic, "no.such", "1", false));
        Check.error("an unknown topic", Errors.UNKNOWN_TOPIC_OR_PARTITION, replaced(bench, version, topic + "-unknown", "retention.ms", "1", false));
        return "all configs of a topic replaced; tried only; bad value, unknown config and topic refused";
    }

    private static short replaced(Bench bench, short version, String topic, String name, String value, boolean tryOnly) throws Exception {
        AlterConfigsRequestData request = new AlterConfigsRequestData().setValidateOnly(tryOnly);
        var asked = new AlterConfigsRequestData.AlterConfigsResource().setResourceType(Bench.TOPIC).setResourceName(topic);
        asked.configs().add(new AlterConfigsRequestData.AlterableConfig().setName(name).setValue(value));
        request.resources().add(asked);
        AlterConfigsResponseData response = bench.ask(ApiKeys.ALTER_CONFIGS, version, request);
        var result = Check.only("resources", response.responses());
        Check.equal("name", topic, result.resourceName());
        return result.errorCode();
    }

    private static String incrementalAlterConfigs(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.INCREMENTAL_ALTER_CONFIGS, version);
        bench.createTopic(topic, 1);
        byte set = 0, delete = 1, append = 2, subtract = 3;
        Check.fine("set", altered(bench, version, topic, set, "retention.ms", "7200000", false));
        Bench.eventually("retention.ms", () -> "7200000".equals(bench.config(Bench.TOPIC, topic, "retention.ms").value()));
        Check.fine("tried only", altered(bench, version, topic, set, "retention.ms", "1", true));
        Check.fine("append", altered(bench, version, topic, append, "cleanup.policy", "compact", false));
        Bench.eventually("cleanup.policy", () -> "delete,compact".equals(bench.config(Bench.TOPIC, topic, "cleanup.policy").value()));
        Check.fine("subtract", altered(bench, version, topic, subtract, "cleanup.policy", "delete", false));
        Bench.eventually("cleanup.policy", () -> "compact".equals(bench.config(Bench.TOPIC, topic, "cleanup.policy").value()));
        Check.equal("retention.ms, as it was set", "7200000", bench.config(Bench.TOPIC, topic, "retention.ms").value());
        Check.fine("delete", altered(bench, version, topic, delete, "retention.ms", null, false));
        Bench.eventually("retention.ms", () -> bench.config(Bench.TOPIC, topic, "retention.ms").configSource() == 5);
        Check.error("a bad value", Errors.INVALID_CONFIG, altered(bench, version, topic, set, "retention.ms", "soon", false));
        Check.error("append to what is no list", Errors.INVALID_CONFIG, altered(bench, version, topic, append, "retention.ms", "1", false));
        Check.error("an unknown config", Errors.INVALID_CONFIG, altered(bench, version, topic, set, "no.such", "1", false));
        Check.error("an unknown topic", Errors.UNKNOWN_TOPIC_OR_PARTITION, altered(bench, version, topic + "-unknown", set, "retention.ms", "1", false));
        return "set, append, subtract, delete; tried only; bad value, unknown config and topic refused";
    }

    private static short altered(Bench bench, short version, String topic, byte operation, String name, String value, boolean tryOnly) throws Exception {
        IncrementalAlterConfigsRequestData request = new IncrementalAlterConfigsRequestData().setValidateOnly(tryOnly);
        var asked = new IncrementalAlterConfigsRequestData.AlterConfigsResource().setResourceType(Bench.TOPIC).setResourceName(topic);
        asked.configs().add(new IncrementalAlterConfigsRequestData.AlterableConfig().setName(name).setValue(value).setConfigOperation(operation));
        request.resources().add(asked);
        IncrementalAlterConfigsResponseData response = bench.ask(ApiKeys.INCREMENTAL_ALTER_CONFIGS, version, request);
        var result = Check.only("resources", response.responses());
        Check.equal("name", topic, result.resourceName());
        return result.errorCode();
    }

    private static String listConfigResources(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.LIST_CONFIG_RESOURCES, version);
        bench.createTopic(topic, 1);
        bench.configure(Bench.CLIENT_METRICS, topic, "metrics", "org.apache.kafka.consumer.");
        if (version == 0) {
            ListConfigResourcesResponseData response = bench.ask(ApiKeys.LIST_CONFIG_RESOURCES, version, new ListConfigResourcesRequestData());
            Check.fine("ListConfigResources", response.errorCode());
            Check.that("the subscription", response.configResources().stream().anyMatch(each -> each.resourceName().equals(topic)));
            return "subscriptions of client metrics";
        }
        for (byte type : new byte[] {Bench.TOPIC, Bench.CLIENT_METRICS}) {
            ListConfigResourcesResponseData response = bench.ask(ApiKeys.LIST_CONFIG_RESOURCES, version,
                new ListConfigResourcesRequestData().setResourceTypes(new ArrayList<>(List.of(type))));
            Check.fine("ListConfigResources", response.errorCode());
            Check.that("of type " + type, response.configResources().stream().anyMatch(each -> each.resourceName().equals(topic)));
            Check.that("only of type " + type, response.configResources().stream().allMatch(each -> each.resourceType() == type));
        }
        ListConfigResourcesResponseData all = bench.ask(ApiKeys.LIST_CONFIG_RESOURCES, version, new ListConfigResourcesRequestData());
        Check.equal("among all types", 2L, all.configResources().stream().filter(each -> each.resourceName().equals(topic)).count());
        ListConfigResourcesResponseData unknown = bench.ask(ApiKeys.LIST_CONFIG_RESOURCES, version,
            new ListConfigResourcesRequestData().setResourceTypes(new ArrayList<>(List.of((byte) 99))));
        Check.error("an unknown type", Errors.UNSUPPORTED_VERSION, unknown.errorCode());
        return "topics, subscriptions of client metrics, all; an unknown type refused";
    }
}
