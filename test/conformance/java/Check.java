import java.util.Objects;
import org.apache.kafka.common.protocol.Errors;

/** What an answer must say; anything else ends the case with an AssertionError that says what was asked and what came. */
final class Check {
    private Check() {}

    static void that(String what, boolean holds) {
        if (!holds) throw new AssertionError(what);
    }

    static void equal(String what, Object expected, Object actual) {
        if (!Objects.equals(expected, actual)) throw new AssertionError(what + ": expected " + expected + ", got " + actual);
    }

    static void error(String what, Errors expected, short code) {
        equal(what, expected, Errors.forCode(code));
    }

    static void fine(String what, short code) {
        error(what, Errors.NONE, code);
    }

    /** The one element of a collection. */
    static <T> T only(String what, Iterable<T> elements) {
        var iterator = elements.iterator();
        that(what + ": nothing came", iterator.hasNext());
        T element = iterator.next();
        that(what + ": more than one came: " + elements, !iterator.hasNext());
        return element;
    }
}
