//! Each function can do what its job needs, and no more.

/// Every other story shows that the roles are sufficient.
pub(crate) mod enforced_roles {
    use aws_credential_types::Credentials;
    use client::{Call, Signer, Stack};
    use end_to_end::{Bank, wait_for};
    use serde_json::{Value, json};

    /// An intruder who calls AWS with a function's role.
    pub(crate) struct Intruder<'a> {
        stack: &'a Stack,
        signer: Signer,
    }

    impl<'a> Intruder<'a> {
        pub(crate) async fn into(bank: &'a Bank, function: &str) -> Self {
            let role = bank.aws().role_of(function).await;
            let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",
                "Principal":{"AWS":"*","Service":"lambda.amazonaws.com"}}]}"#;
            let parameters = [("Action", "UpdateAssumeRolePolicy"), ("RoleName", &role), ("PolicyDocument", trust)];
            bank.aws().iam(&parameters).await;
            let arn = format!("arn:aws:iam::000000000000:role/{role}");
            let response = bank
                .aws()
                .query(
                    "sts",
                    &[
                        ("Action", "AssumeRole"),
                        ("Version", "2011-06-15"),
                        ("RoleArn", &arn),
                        ("RoleSessionName", function),
                    ],
                )
                .await;
            let element = |name: &str| {
                let (_, rest) = response.split_once(&format!("<{name}>")).unwrap();
                rest.split_once('<').unwrap().0.to_owned()
            };
            let token = Some(element("SessionToken"));
            let credentials =
                Credentials::new(element("AccessKeyId"), element("SecretAccessKey"), token, None, "a function's role");
            Self { stack: &bank.stack, signer: Signer::new(&bank.stack.region, credentials) }
        }

        /// Whether AWS allows the call.
        pub(crate) async fn may(&self, target: &str, body: &Value) -> bool {
            let service = match target.split_once(['_', '.']) {
                Some(("DynamoDB", _)) => "dynamodb",
                Some(("secretsmanager", _)) => "secretsmanager",
                _ => "sqs",
            };
            let (url, body) = (format!("{}/", self.stack.endpoint_url), body.to_string());
            let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target)];
            let call = Call { method: "POST", url: &url, headers: &headers, body: body.as_bytes(), service };
            let response = self.signer.send(&call).await.unwrap();
            let is_denied = response.text.contains("AccessDenied") || response.text.contains("not authorized");
            assert!(is_denied || response.status == 200, "{target}: {}", response.text);
            !is_denied
        }

        /// Invokes a function, and returns its response or its error. `None` if AWS does not allow it.
        async fn invoke(&self, function: &str, payload: &Value) -> Option<Value> {
            let url = format!("{}/2015-03-31/functions/{function}/invocations", self.stack.endpoint_url);
            let body = payload.to_string();
            let call = Call { method: "POST", url: &url, headers: &[], body: body.as_bytes(), service: "lambda" };
            let response = self.signer.send(&call).await.unwrap();
            assert!([200, 403].contains(&response.status), "{function}: {}", response.text);
            (response.status == 200).then(|| response.json())
        }
    }

    #[tokio::test]
    async fn stolen_function_role_allows_only_its_own_job() {
        let bank = Bank::open();
        bank.put_customers(&[bank.customer("asha", &json!({}))]).await;
        let table = |name: &str| bank.stack.tables[name].clone();
        let get = |name: &str, key: Value| ("DynamoDB_20120810.GetItem", json!({"TableName": table(name), "Key": key}));
        let pk = |pk: &str| json!({"pk": {"S": pk}});
        let both = |pk: &str, sk: &str| json!({"pk": {"S": pk}, "sk": {"S": sk}});
        let batch = |name: &str, key: Value| {
            ("DynamoDB_20120810.BatchGetItem", json!({"RequestItems": {table(name): {"Keys": [key]}}}))
        };
        let delete =
            |name: &str, key: Value| ("DynamoDB_20120810.DeleteItem", json!({"TableName": table(name), "Key": key}));
        let scan = |name: &str| ("DynamoDB_20120810.Scan", json!({"TableName": table(name), "Limit": 1}));
        let send =
            |queue: &str| ("AmazonSQS.SendMessage", json!({"QueueUrl": bank.stack.queues[queue], "MessageBody": "{}"}));
        let depth = |queue: &str| {
            ("AmazonSQS.GetQueueAttributes", json!({"QueueUrl": bank.stack.queues[queue], "AttributeNames": ["All"]}))
        };
        // Visible again immediately, since the message may belong to another story.
        let receive = |queue: &str| {
            let body = json!({"QueueUrl": bank.stack.queues[queue], "VisibilityTimeout": 0, "WaitTimeSeconds": 0});
            ("AmazonSQS.ReceiveMessage", body)
        };
        let put =
            |name: &str, item: Value| ("DynamoDB_20120810.PutItem", json!({"TableName": table(name), "Item": item}));
        let environment = bank.aws().environment_of("email").await;
        let secret = |variable: &str| ("secretsmanager.GetSecretValue", json!({"SecretId": environment[variable]}));
        let asha = bank.id("asha");
        // For each function, a call that its role allows and one that it denies. The first shows that the role is in
        // effect.
        let calls = [
            ("offer", get("offers", both("none", "offer")), delete("offers", both("none", "offer"))),
            ("customer", get("customers", pk(&asha)), scan("customers")),
            // The public page must not read addresses.
            ("preferences", batch("suppressions", pk("optOut#none")), get("customers", pk(&asha))),
            ("preferences", secret("UNSUBSCRIBE_KEYS_SECRET_ARN"), secret("SMTP_URL_SECRET_ARN")),
            ("push", depth("email"), send("email")),
            ("audience", scan("customers"), get("deliveries", both("none", "none"))),
            ("email", batch("customers", pk(&asha)), scan("customers")),
            ("email", batch("deliveries", both("none", "none")), send("sms")),
            ("email", depth("email"), receive("sms")),
            ("sms", batch("customers", pk(&asha)), send("email")),
            ("sms", depth("sms"), receive("email")),
            ("feedback", put("suppressions", pk("reported#nobody")), get("customers", pk(&asha))),
            ("feedback", depth("feedback"), send("feedback")),
        ];
        for (function, (allowed, with), (refused, on)) in &calls {
            let intruder = Intruder::into(&bank, function).await;
            wait_for("the role to be assumed", async || {
                anyhow::ensure!(intruder.may(allowed, with).await, "{function} may {allowed}: {with}");
                Ok(())
            })
            .await;
            assert!(!intruder.may(refused, on).await, "{function} must not {refused}: {on}");
        }
    }

    #[tokio::test]
    async fn stolen_role_of_offer_sends_nothing_to_outsiders() {
        let bank = Bank::open();
        let intruder = Intruder::into(&bank, "offer").await;
        let email = |to: &str| {
            json!({"recipient": to, "emailFromAddress": "offers@bank.example", "content": "Sign in at evil.example",
                   "emailReplyToAddress": "offers@bank.example", "subject": "Urgent"})
        };
        let sms = |to: &str| json!({"recipient": to, "content": "Sign in at evil.example"});
        let (outsider, number) = (email("outsider@evil.example"), sms("+4915112345678"));
        let test_alias = |function: &str| format!("{}:test", bank.stack.functions[function]);
        wait_for("the role to be assumed", async || {
            anyhow::ensure!(intruder.invoke(&test_alias("email"), &outsider).await.is_some());
            Ok(())
        })
        .await;
        for (function, message, insider) in
            [("email", &outsider, email(&bank.address("tester"))), ("sms", &number, sms(&bank.mobile("tester")))]
        {
            let name = &bank.stack.functions[function];
            for invoked in [name.clone(), format!("{name}:$LATEST")] {
                assert_eq!(intruder.invoke(&invoked, message).await, None, "{invoked}");
            }
            let refused = intruder.invoke(&test_alias(function), message).await.unwrap();
            let error = refused["errorMessage"].as_str().unwrap_or_else(|| panic!("{refused}"));
            assert!(error.contains("AllowedTestRecipients"), "{error}");
            let batch = json!({"Records": [{"messageId": "1", "body": "{}", "eventSource": "aws:sqs"}]});
            let refused = intruder.invoke(&test_alias(function), &batch).await.unwrap();
            let error = refused["errorMessage"].as_str().unwrap_or_else(|| panic!("{refused}"));
            assert!(error.contains("no batches"), "{error}");
            let sent = intruder.invoke(&test_alias(function), &insider).await.unwrap();
            assert!(sent["messageId"].is_string(), "{sent}");
        }
        assert_eq!(bank.mail().await.len(), 1);
    }
}
