package dev.tollkeeper;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What applications take: the jar, and what its README shows. */
class PackageTest {
    private static final Path JAR = Path.of(System.getProperty("tollkeeper.jar"));

    @TempDir
    Path folder;

    @Test
    void theJarIsSmallAndBringsAllThatItNeedsUnderItsOwnName() throws Exception {
        assertTrue(Files.size(JAR) < 400_000, Files.size(JAR) + " bytes");
        try (JarFile jar = new JarFile(JAR.toFile())) {
            assertEquals(License.VERSION, jar.getManifest().getMainAttributes().getValue("Implementation-Version"));
            for (JarEntry entry : (Iterable<JarEntry>) jar.stream()::iterator) {
                String name = entry.getName();
                assertTrue(name.startsWith("dev/tollkeeper/") || name.startsWith("META-INF/") || name.equals("dev/"), name);
                if (!name.endsWith(".class")) continue;
                try (var input = jar.getInputStream(entry)) {
                    byte[] head = input.readNBytes(8);
                    assertTrue(head[7] <= 52, name + " needs a newer Java than 8");
                }
            }
            for (String name : List.of("META-INF/NOTICE", "META-INF/proguard/tollkeeper.pro")) assertTrue(jar.getEntry(name) != null, name);
        }
    }

    /** What stands around the snippets: names of the application and of Android. */
    private static final String AROUND = "import dev.tollkeeper.*; import java.util.concurrent.*; import java.io.File;\n"
        + "class Around { String vendorPublicKey, answer, receipt; License license; LicenseSettings settings; Context context;\n"
        + "Iterable<Barcode> frame;\n"
        + "void showToUser(String text) {}\n"
        + "interface Context { File getFilesDir(); } interface Barcode { String getFormat(); String getText(); }\n"
        + "static class Looper { static Looper getMainLooper() { return null; } }\n"
        + "static class Handler { Handler(Looper looper) {} boolean post(Runnable work) { return true; } }\n"
        + "void snippet() throws LicenseException {\n%s\n} }\n";

    @Test
    void whatTheReadmeShowsCompiles() throws Exception {
        String readme = Files.readString(Path.of(System.getProperty("tollkeeper.root"), "static/sdk/java/README.md"));
        Matcher snippet = Pattern.compile("```java\\n(.*?)```", Pattern.DOTALL).matcher(readme);
        int number = 0;
        while (snippet.find()) {
            assertEquals(List.of(), compile(String.format(AROUND, snippet.group(1))), snippet.group(1));
            number++;
        }
        assertEquals(4, number);
    }

    /** What the compiler finds wrong. */
    private List<String> compile(String text) {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        DiagnosticCollector<JavaFileObject> found = new DiagnosticCollector<>();
        JavaFileObject source = new SimpleJavaFileObject(URI.create("string:///Around.java"), JavaFileObject.Kind.SOURCE) {
            @Override
            public CharSequence getCharContent(boolean ignoresErrors) {
                return text;
            }
        };
        List<String> options = List.of("-cp", JAR.toString(), "-d", folder.toString(), "--release", "8", "-Xlint:all,-options,-try", "-proc:none");
        compiler.getTask(null, null, found, options, null, List.of(source)).call();
        List<String> wrong = new ArrayList<>();
        for (Diagnostic<?> each : found.getDiagnostics()) wrong.add(each.toString());
        return wrong;
    }

    @Test
    void everySettingErrorAndCallStandsInTheReadme() throws Exception {
        String readme = Files.readString(Path.of(System.getProperty("tollkeeper.root"), "static/sdk/java/README.md"));
        for (String name : LicenseSettings.NAMES) assertTrue(readme.contains("| `" + name + "` |"), name);
        for (var method : License.class.getDeclaredMethods()) {
            boolean isCall = java.lang.reflect.Modifier.isPublic(method.getModifiers()) && !method.getName().endsWith("Async");
            if (isCall) assertTrue(readme.contains("`" + method.getName()) || readme.contains("License." + method.getName()), method.getName());
        }
        Pattern codes = Pattern.compile("^\\| ([0-9–, ]+) \\|", Pattern.MULTILINE);
        List<Integer> told = new ArrayList<>();
        for (Matcher row = codes.matcher(readme); row.find();) {
            for (String part : row.group(1).split(", ")) {
                String[] ends = part.split("–");
                for (int code = Integer.parseInt(ends[0]); code <= Integer.parseInt(ends[ends.length - 1]); code++) told.add(code);
            }
        }
        for (int code = 100; code < 400; code++) {
            boolean isKnown = !LicenseException.titleOf(code).equals(LicenseException.titleOf(999));
            assertEquals(isKnown, told.contains(code), String.valueOf(code));
        }
    }
}
