import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command-line tools in one JVM, each as its own script would: the same class, the same arguments, standard
 * input, output, error and exit status of its own. What it spares is a JVM's start for each of a hundred runs.
 *
 * Frames, all lengths and numbers big-endian 32-bit. In: run, class, count of arguments, arguments, input. Out: run, kind
 * ('o' output, 'e' error, 'x' exit), then length and bytes, or the exit status. Text is UTF-8 with its length before it.
 */
public class ToolHost {
    /** A run's streams; threads that a tool starts inherit them. */
    private static final InheritableThreadLocal<Run> CURRENT = new InheritableThreadLocal<>();
    private static DataOutputStream answers;

    private static final class Run {
        final int id;
        final InputStream input;
        final List<Runnable> shutdownHooks = Collections.synchronizedList(new ArrayList<>());
        /** The status of the first call to exit, after which a process would do nothing more. */
        volatile Integer status;

        Run(int id, byte[] input) {
            this.id = id;
            this.input = new ByteArrayInputStream(input);
        }
    }

    /** Leaves a tool in the place of the end of the process. Some tools catch even this, and may go on to exit again. */
    private static final class Ended extends Error {
        Ended() {
            super("(end of the tool)", null, false, false);
        }
    }

    private static final class Output extends OutputStream {
        final char kind;
        final PrintStream fallback;

        Output(char kind, PrintStream fallback) {
            this.kind = kind;
            this.fallback = fallback;
        }

        @Override
        public void write(int b) {
            write(new byte[] {(byte) b}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int offset, int length) {
            Run run = CURRENT.get();
            if (run == null) {
                fallback.write(bytes, offset, length);
                return;
            }
            try {
                synchronized (answers) {
                    answers.writeInt(run.id);
                    answers.writeByte(kind);
                    answers.writeInt(length);
                    answers.write(bytes, offset, length);
                }
            } catch (IOException e) {
                Runtime.getRuntime().halt(1);
            }
        }

        @Override
        public void flush() throws IOException {
            synchronized (answers) {
                answers.flush();
            }
        }
    }

    private static final class Input extends InputStream {
        @Override
        public int read() throws IOException {
            return CURRENT.get().input.read();
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            return CURRENT.get().input.read(bytes, offset, length);
        }

        @Override
        public int available() throws IOException {
            return CURRENT.get().input.available();
        }
    }

    public static void main(String[] args) throws Exception {
        DataInputStream requests = new DataInputStream(System.in);
        answers = new DataOutputStream(new java.io.BufferedOutputStream(System.out, 1 << 16));
        PrintStream error = System.err;
        System.setOut(new PrintStream(new Output('o', error), true));
        System.setErr(new PrintStream(new Output('e', error), true));
        System.setIn(new Input());
        Exit.setExitProcedure((status, message) -> leave(status, message));
        Exit.setHaltProcedure((status, message) -> leave(status, message));
        Exit.setShutdownHookAdder((name, hook) -> CURRENT.get().shutdownHooks.add(hook));
        try {
            while (true) {
                int id = requests.readInt();
                String tool = text(requests);
                String[] arguments = new String[requests.readInt()];
                for (int i = 0; i < arguments.length; i++) {
                    arguments[i] = text(requests);
                }
                Run run = new Run(id, bytes(requests));
                new Thread(() -> perform(run, tool, arguments)).start();
            }
        } catch (EOFException e) {
            Runtime.getRuntime().halt(0);
        }
    }

    private static byte[] bytes(DataInputStream from) throws IOException {
        byte[] bytes = new byte[from.readInt()];
        from.readFully(bytes);
        return bytes;
    }

    private static String text(DataInputStream from) throws IOException {
        return new String(bytes(from), java.nio.charset.StandardCharsets.UTF_8);
    }

    private static void leave(int status, String message) {
        if (message != null) {
            System.err.println(message);
        }
        Run run = CURRENT.get();
        if (run.status == null) {
            run.status = status;
        }
        throw new Ended();
    }

    private static void perform(Run run, String tool, String[] arguments) {
        CURRENT.set(run);
        attempt(run, () -> {
            try {
                Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
            } catch (InvocationTargetException e) {
                throw e.getCause();
            }
        });
        // What the JVM does at its end. The console producer sends its last batches here.
        for (Runnable hook : run.shutdownHooks) {
            attempt(run, hook::run);
        }
        System.out.flush();
        System.err.flush();
        try {
            synchronized (answers) {
                answers.writeInt(run.id);
                answers.writeByte('x');
                answers.writeInt(run.status == null ? 0 : run.status);
                answers.flush();
            }
        } catch (IOException e) {
            Runtime.getRuntime().halt(1);
        }
    }

    private interface Step {
        void run() throws Throwable;
    }

    private static void attempt(Run run, Step step) {
        try {
            step.run();
        } catch (Ended e) {
            // Its status is noted.
        } catch (Throwable e) {
            e.printStackTrace();
            if (run.status == null) {
                run.status = 1;
            }
        }
    }
}
