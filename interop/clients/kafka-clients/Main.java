import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;

import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.common.protocol.Errors;

/**
 * The Java client's hands: `Main BOOTSTRAP` carries out operations, a line of JSON each (interop/src/driver.rs), in one JVM
 * for all scenarios; `Main member DESCRIPTION` is a member of a group (interop/src/members.rs).
 */
public class Main {
    static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        if (args[0].equals("member")) {
            Member.run(JSON.readTree(args[1]));
            return;
        }
        // Nothing but answers goes to standard output.
        PrintStream answers = System.out;
        System.setOut(System.err);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        try (Hands hands = new Hands(args[0])) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                answers.println(JSON.writeValueAsString(answer(hands, JSON.readTree(line))));
                answers.flush();
            }
        }
    }

    private static ObjectNode answer(Hands hands, JsonNode asked) {
        ObjectNode answer = JSON.createObjectNode();
        try {
            answer.set("ok", JSON.valueToTree(hands.carryOut(asked)));
        } catch (Throwable thrown) {
            Throwable cause = thrown;
            while ((cause instanceof ExecutionException || cause instanceof CompletionException) && cause.getCause() != null) {
                cause = cause.getCause();
            }
            answer.put("failed", cause.toString());
            // The consumer has an exception of its own for this one.
            short code = cause instanceof OffsetOutOfRangeException ? Errors.OFFSET_OUT_OF_RANGE.code()
                : Errors.forException(cause).code();
            if (code != Errors.UNKNOWN_SERVER_ERROR.code()) {
                answer.put("refused", code);
            } else {
                cause.printStackTrace();
            }
        }
        return answer;
    }
}
