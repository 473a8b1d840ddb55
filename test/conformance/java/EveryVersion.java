import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.EnumMap;
import java.util.Map;
import org.apache.kafka.common.message.ApiVersionsRequestData;
import org.apache.kafka.common.message.ApiVersionsResponseData.ApiVersion;
import org.apache.kafka.common.protocol.ApiKeys;

/**
 * Asks a broker every API that it advertises, in every version that it advertises, with the message classes of Kafka's Java client, and
 * checks what it answers. Prints a line per API and version, separated by tabs: pass or fail, the key, the name, the version, and what was
 * seen or what is wrong. Ends with 1 where one failed; an API without a case fails.
 *
 *     java EveryVersion HOST:PORT [PART OF A NAME]
 */
public final class EveryVersion {
    private static final Map<ApiKeys, Case> CASES = new EnumMap<>(ApiKeys.class);

    public static void main(String[] args) throws Exception {
        RecordCases.addTo(CASES);
        TopicCases.addTo(CASES);
        ConfigCases.addTo(CASES);
        GroupCases.addTo(CASES);
        ConsumerGroupCases.addTo(CASES);
        TransactionCases.addTo(CASES);
        ClusterCases.addTo(CASES);

        int colon = args[0].lastIndexOf(':');
        Bench bench = new Bench(args[0].substring(0, colon), Integer.parseInt(args[0].substring(colon + 1)));
        bench.advertised = bench.ask(ApiKeys.API_VERSIONS, 3, new ApiVersionsRequestData().setClientSoftwareName("every-version").setClientSoftwareVersion("1"));
        Check.fine("ApiVersions", bench.advertised.errorCode());
        for (ApiVersion api : bench.advertised.apiKeys()) {
            if (ApiKeys.hasId(api.apiKey())) bench.newest.put(ApiKeys.forId(api.apiKey()), api.maxVersion());
        }
        bench.awaitCoordinators();
        int failed = 0;
        for (ApiVersion api : bench.advertised.apiKeys()) {
            String name = ApiKeys.hasId(api.apiKey()) ? ApiKeys.forId(api.apiKey()).name : "?";
            if (args.length > 1 && !name.contains(args[1])) continue;
            for (short version = api.minVersion(); version <= api.maxVersion(); version++) {
                String problem = null;
                String seen = null;
                try {
                    Check.that("Kafka knows no API with this key", ApiKeys.hasId(api.apiKey()));
                    Case asked = CASES.get(ApiKeys.forId(api.apiKey()));
                    Check.that("no case asks it", asked != null);
                    seen = asked.run(bench, version);
                } catch (Exception | AssertionError trouble) {
                    problem = told(trouble);
                    failed++;
                    bench.reconnect();
                }
                System.out.printf("%s\t%d\t%s\t%d\t%s%n", problem == null ? "pass" : "fail", api.apiKey(), name, version, problem == null ? seen : problem);
            }
        }
        System.exit(failed == 0 ? 0 : 1);
    }

    /** The message of an assertion; of anything else the beginning of its stack, in one line. */
    private static String told(Throwable trouble) {
        StringWriter text = new StringWriter();
        trouble.printStackTrace(new PrintWriter(text));
        String[] lines = text.toString().split("\n");
        StringBuilder told = new StringBuilder(trouble instanceof AssertionError ? String.valueOf(trouble.getMessage()) : trouble.toString());
        for (int i = 1, shown = 0; i < lines.length && shown < 3; i++) {
            if (lines[i].contains("Cases.") || (!(trouble instanceof AssertionError) && shown < 2)) {
                told.append(" ").append(lines[i].trim());
                shown++;
            }
        }
        return told.toString().replaceAll("[\\t\\n\\r]+", " ");
    }
}
