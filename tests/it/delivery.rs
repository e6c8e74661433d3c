//! The delivery adapters against tiny servers on loopback.

use std::sync::{Arc, Mutex};

use linegate::adapters::sms::{HttpSmsGateway, SmsSettings};
use linegate::adapters::smtp::{SmtpMailer, SmtpSettings, SmtpTls};
use linegate::adapters::webhook::{HttpWebhooks, WebhookSettings, signature};
use linegate::ports::delivery::{DeliveryError, Hook, Mail, Mailer, Sms, SmsGateway, WebhookSender};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// Everything that clients have said.
type Said = Arc<Mutex<Vec<String>>>;

fn install_provider() {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Answers every HTTP request with `response`.
async fn http(response: &'static str) -> (u16, Said) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Said::default();
    let keep = said.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            while stream.read_line(&mut head).await.unwrap() > 2 {
                let last = head.lines().last().unwrap().to_ascii_lowercase();
                if let Some(value) = last.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            keep.lock().unwrap().push(format!("{head}{}", String::from_utf8(body).unwrap()));
            stream.get_mut().write_all(response.as_bytes()).await.unwrap();
        }
    });
    (port, said)
}

fn reply(status: &'static str) -> &'static str {
    match status {
        "200" => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "302" => "HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "410" => "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "429" => "HTTP/1.1 429 Slow\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        _ => "HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    }
}

fn hook(callback: String) -> Hook {
    let payload = br#"{"eventId":"1"}"#.to_vec();
    Hook { id: "m-1".into(), callback, secret: "whsec_c2VjcmV0".into(), timestamp_secs: 1_700_000_000, payload }
}

fn webhooks(allow_private: bool) -> HttpWebhooks {
    install_provider();
    HttpWebhooks::new(WebhookSettings { allow_private, ..WebhookSettings::default() }).unwrap()
}

fn kind(result: &Result<(), DeliveryError>) -> &'static str {
    match result {
        Ok(()) => "sent",
        Err(DeliveryError::Transient { .. }) => "transient",
        Err(DeliveryError::Permanent { .. }) => "permanent",
    }
}

#[tokio::test]
async fn a_webhook_carries_its_id_time_and_signature() {
    let (port, said) = http(reply("200")).await;
    let hook = hook(format!("http://localhost:{port}/hook?a=1"));
    webhooks(true).send(&hook).await.unwrap();
    let said = said.lock().unwrap()[0].clone();
    assert!(said.starts_with("POST /hook?a=1 HTTP/1.1\r\n"), "{said}");
    let signed = signature("whsec_c2VjcmV0", "m-1", 1_700_000_000, &hook.payload);
    for header in [
        "webhook-id: m-1".to_owned(),
        "webhook-timestamp: 1700000000".to_owned(),
        format!("webhook-signature: {signed}"),
        "content-type: application/json".to_owned(),
    ] {
        assert!(said.contains(&header), "{header} in {said}");
    }
    assert!(said.ends_with(r#"{"eventId":"1"}"#));
}

#[tokio::test]
async fn a_listeners_answer_decides_whether_there_is_another_try() {
    for (status, expected) in
        [("200", "sent"), ("302", "permanent"), ("410", "permanent"), ("429", "transient"), ("503", "transient")]
    {
        let (port, said) = http(reply(status)).await;
        let result = webhooks(true).send(&hook(format!("http://127.0.0.1:{port}/"))).await;
        assert_eq!(kind(&result), expected, "{status}: {result:?}");
        assert_eq!(said.lock().unwrap().len(), 1, "{status}: a redirect is not followed");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let result = webhooks(true).send(&hook(format!("http://127.0.0.1:{closed}/"))).await;
    assert_eq!(kind(&result), "transient", "{result:?}");
}

#[tokio::test]
async fn a_callback_into_our_own_network_is_refused_by_address_and_by_name() {
    let (port, said) = http(reply("200")).await;
    let guarded = webhooks(false);
    for host in ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "169.254.169.254"] {
        let callback = format!("http://{host}:{port}/");
        let result = guarded.send(&hook(callback.clone())).await;
        assert_eq!(kind(&result), "permanent", "send {callback}: {result:?}");
        assert_eq!(kind(&guarded.admits(&callback).await), "permanent", "admit {callback}");
    }
    for callback in ["ftp://example.com/", "http://user:pass@example.com/", "nonsense", "file:///etc/passwd"] {
        assert_eq!(kind(&guarded.admits(callback).await), "permanent", "{callback}");
    }
    assert!(said.lock().unwrap().is_empty(), "nothing was connected to");
    assert_eq!(kind(&guarded.admits("https://8.8.8.8/hook").await), "sent");
}

#[tokio::test]
async fn an_sms_is_posted_with_its_id_and_token() {
    install_provider();
    let (port, said) = http(reply("200")).await;
    let settings =
        SmsSettings { url: format!("http://127.0.0.1:{port}/sms"), token: "t-1".into(), ..SmsSettings::default() };
    let gateway = HttpSmsGateway::new(settings).unwrap();
    gateway.send(&Sms { id: "s-1".into(), to: "821012345678".into(), text: "완료".into() }).await.unwrap();
    let said = said.lock().unwrap()[0].clone();
    assert!(said.contains("authorization: Bearer t-1"), "{said}");
    assert!(said.ends_with(r#"{"id":"s-1","to":"821012345678","text":"완료"}"#), "{said}");
}

/// A relay that answers the recipient with `rcpt` and keeps what it hears.
async fn smtp(rcpt: &'static str) -> (u16, Said) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Said::default();
    let keep = said.clone();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.get_mut().write_all(b"220 relay\r\n").await.unwrap();
        let (mut line, mut in_data) = (String::new(), false);
        while stream.read_line(&mut line).await.unwrap() > 0 {
            keep.lock().unwrap().push(line.trim_end().to_owned());
            let verb = line.to_ascii_uppercase();
            let answer = match &verb {
                _ if in_data && line == ".\r\n" => {
                    in_data = false;
                    "250 taken\r\n"
                }
                _ if in_data => "",
                v if v.starts_with("RCPT") => rcpt,
                v if v.starts_with("DATA") => {
                    in_data = true;
                    "354 go\r\n"
                }
                v if v.starts_with("QUIT") => "221 bye\r\n",
                _ => "250 relay\r\n",
            };
            stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
            line.clear();
        }
    });
    (port, said)
}

fn mail() -> Mail {
    Mail {
        message_id: "invoice-1@gateway.linegate.example".into(),
        to: "customer@example.com".into(),
        subject: "10월 청구서".into(),
        text: "안녕하세요".into(),
        attachments: vec![("invoice-1.pdf".into(), "application/pdf", b"%PDF-1.7".to_vec())],
    }
}

fn mailer(port: u16) -> SmtpMailer {
    let settings = SmtpSettings { host: "127.0.0.1".into(), port, tls: SmtpTls::Plain, ..SmtpSettings::default() };
    SmtpMailer::new(&settings).unwrap()
}

#[tokio::test]
async fn a_mail_keeps_its_message_id_subject_and_attachment() {
    let (port, said) = smtp("250 ok\r\n").await;
    mailer(port).send(&mail()).await.unwrap();
    let text = said.lock().unwrap().join("\n");
    assert!(text.contains("Message-ID: <invoice-1@gateway.linegate.example>"), "{text}");
    assert!(text.contains("Subject: =?utf-8?b?"), "{text}");
    assert!(text.contains("filename=\"invoice-1.pdf\""), "{text}");
    assert!(text.contains("JVBERi0xLjc="), "{text}");
}

#[tokio::test]
async fn a_relay_says_whether_there_is_another_try() {
    for (rcpt, expected) in [("550 no such box\r\n", "permanent"), ("451 later\r\n", "transient")] {
        let (port, _) = smtp(rcpt).await;
        let result = mailer(port).send(&mail()).await;
        assert_eq!(kind(&result), expected, "{rcpt}: {result:?}");
    }
    let mut bad = mail();
    bad.to = "not an address".into();
    assert_eq!(kind(&mailer(1).send(&bad).await), "permanent");
    assert_eq!(kind(&mailer(1).send(&mail()).await), "transient");
}
