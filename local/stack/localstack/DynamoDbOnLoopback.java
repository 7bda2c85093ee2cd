import com.amazonaws.services.dynamodbv2.local.main.ServerRunner;
import com.amazonaws.services.dynamodbv2.local.server.DynamoDBProxyServer;
import java.io.IOException;
import java.util.Collections;
import java.util.List;
import javax.servlet.ServletException;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.Connector;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.handler.HandlerWrapper;

/**
 * Starts DynamoDB Local for LocalStack only. Its own main class always listens on every interface, and lets every web page
 * read its answers.
 */
public class DynamoDbOnLoopback {
    public static void main(String[] arguments) throws Exception {
        DynamoDBProxyServer dynamoDb = ServerRunner.createServerFromCommandLineArgs(arguments);
        var field = DynamoDBProxyServer.class.getDeclaredField("server");
        field.setAccessible(true);
        var server = (Server) field.get(dynamoDb);
        for (Connector connector : server.getConnectors()) {
            ((ServerConnector) connector).setHost("127.0.0.1");
        }
        var check = new NotFromBrowsers();
        check.setHandler(server.getHandler());
        server.setHandler(check);
        dynamoDb.start();
        dynamoDb.join();
    }

    /** Refuses what a browser sends, and names that are not this machine's. Nobody opens a page here. */
    static class NotFromBrowsers extends HandlerWrapper {
        private static final String LOOPBACK = "(?i)(127\\.0\\.0\\.1|localhost)(:[0-9]{1,5})?";

        @Override
        public void handle(String target, Request base, HttpServletRequest request, HttpServletResponse response)
                throws IOException, ServletException {
            List<String> hosts = Collections.list(request.getHeaders("Host"));
            boolean isBrowser = request.getHeader("Origin") != null || request.getHeader("Sec-Fetch-Site") != null;
            if (isBrowser || hosts.size() != 1 || !hosts.get(0).matches(LOOPBACK)) {
                base.setHandled(true);
                response.sendError(HttpServletResponse.SC_FORBIDDEN);
                return;
            }
            super.handle(target, base, request, response);
        }
    }
}
