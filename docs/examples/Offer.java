import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Stores a customer, posts an offer to them alone, and waits until it is sent. Needs Java 17, and no library: in a service, let
 * AwsV4HttpSigner of the AWS SDK sign, and Jackson read and write JSON.
 *
 * <pre>
 *     eval "$(cargo xtask env)"       # or `offercast env --stack NAME`, with a key of AWS in the environment
 *     java docs/examples/Offer.java
 * </pre>
 */
public class Offer {
    private static final Map<String, String> ENVIRONMENT = System.getenv();
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    public static void main(String[] arguments) throws Exception {
        call("PUT", "/customers/java-1", """
            {"name": "Asha Rao", "email": "asha@java.example", "channels": ["email"]}""", Map.of());

        // With the same key, the offer is posted once, however often this call is repeated within a day.
        String posted = call("POST", "/offers", """
            {
                "code": "JAVA",
                "description": "Dear {{ customer.name }}, get **5%** cashback",
                "eligibility": "customer.id == 'java-1'"
            }""", Map.of("idempotency-key", UUID.randomUUID().toString()));
        String offer = text(posted, "id");
        System.out.println("Posted offer " + offer);

        String push = call("GET", "/offers/" + offer + "/pushes/1", "", Map.of());
        while (Set.of("scheduled", "running").contains(text(push, "state"))) {
            Thread.sleep(1000);
            push = call("GET", "/offers/" + offer + "/pushes/1", "", Map.of());
        }
        System.out.println(push);
    }

    /** Signs a call, and returns the response. An error response is an exception that says what was wrong. */
    static String call(String method, String path, String body, Map<String, String> headers)
            throws IOException, InterruptedException, GeneralSecurityException {
        URI url = URI.create(ENVIRONMENT.get("OFFERCAST_API_URL") + path);
        var request = HttpRequest.newBuilder(url).method(method, BodyPublishers.ofString(body));
        request.header("content-type", "application/json");
        headers.forEach(request::header);
        sign(method, url, body).forEach(request::header);
        var response = HTTP.send(request.build(), BodyHandlers.ofString());
        if (response.statusCode() >= 400) {
            throw new IOException(method + " " + path + ": " + response.body());
        }
        return response.body();
    }

    /** The headers that sign a call without a query: AWS Signature Version 4. */
    static Map<String, String> sign(String method, URI url, String body) throws GeneralSecurityException {
        String time = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC).format(Instant.now());
        String scope = time.substring(0, 8) + "/" + ENVIRONMENT.get("AWS_REGION") + "/execute-api/aws4_request";
        var signed = new TreeMap<String, String>();
        signed.put("host", url.getPort() < 0 ? url.getHost() : url.getHost() + ":" + url.getPort());
        signed.put("x-amz-date", time);
        if (ENVIRONMENT.containsKey("AWS_SESSION_TOKEN")) {
            signed.put("x-amz-security-token", ENVIRONMENT.get("AWS_SESSION_TOKEN"));
        }
        var request = new StringBuilder(method + "\n" + url.getRawPath() + "\n\n");
        signed.forEach((name, value) -> request.append(name).append(':').append(value).append('\n'));
        String names = String.join(";", signed.keySet());
        request.append('\n').append(names).append('\n').append(sha256(body));

        byte[] key = ("AWS4" + ENVIRONMENT.get("AWS_SECRET_ACCESS_KEY")).getBytes(UTF_8);
        for (String part : scope.split("/")) {
            key = hmac(key, part);
        }
        String toSign = "AWS4-HMAC-SHA256\n" + time + "\n" + scope + "\n" + sha256(request.toString());
        signed.put("authorization", "AWS4-HMAC-SHA256 Credential=" + ENVIRONMENT.get("AWS_ACCESS_KEY_ID") + "/" + scope
            + ", SignedHeaders=" + names + ", Signature=" + HexFormat.of().formatHex(hmac(key, toSign)));
        // The client sends it by itself.
        signed.remove("host");
        return signed;
    }

    static byte[] hmac(byte[] key, String text) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(UTF_8));
    }

    static String sha256(String text) throws GeneralSecurityException {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(text.getBytes(UTF_8)));
    }

    /** A text in a JSON object. */
    static String text(String json, String name) {
        var found = Pattern.compile('"' + name + "\": ?\"([^\"]*)\"").matcher(json);
        if (!found.find()) {
            throw new IllegalArgumentException("no " + name + " in " + json);
        }
        return found.group(1);
    }
}
