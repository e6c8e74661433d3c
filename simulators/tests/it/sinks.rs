use std::time::Duration;

use linegate_simulators::sinks::{HttpFault, HttpSink, MailFault, MailSink};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Sends one message and gives the reply to its end.
async fn send_mail(sink: &MailSink) -> String {
    let mut stream = BufReader::new(TcpStream::connect(sink.address()).await.unwrap());
    let mut reply = String::new();
    stream.read_line(&mut reply).await.unwrap();
    for line in ["HELO x", "MAIL FROM:<bill@linegate.example>", "RCPT TO:<kim@example.com>", "DATA"] {
        stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        reply.clear();
        stream.read_line(&mut reply).await.unwrap();
    }
    let message = "Subject: =?utf-8?b?7LKt6rWs7ISc?=\r\nMessage-ID: <1@linegate.example>\r\n\r\n..dot\r\nend\r\n.\r\n";
    stream.get_mut().write_all(message.as_bytes()).await.unwrap();
    reply.clear();
    stream.read_line(&mut reply).await.unwrap();
    reply.chars().take(3).collect()
}

#[tokio::test]
async fn mail_is_kept_with_its_headers_and_put_off_on_demand() {
    let sink = MailSink::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    sink.set_fault(MailFault::TemporaryNext(1));
    assert_eq!(send_mail(&sink).await, "451");
    assert_eq!(send_mail(&sink).await, "250");
    sink.set_fault(MailFault::ReplyLost);
    assert_eq!(send_mail(&sink).await, "");
    let messages = sink.messages();
    assert_eq!((messages.len(), sink.put_off()), (2, 1));
    let mail = &messages[0];
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("bill@linegate.example", &["kim@example.com".to_owned()][..])
    );
    assert_eq!(mail.header("Subject").as_deref(), Some("청구서"));
    assert_eq!(mail.text(), ".dot\r\nend\r\n");
}

async fn post(sink: &HttpSink, body: &str) -> u16 {
    let mut stream = TcpStream::connect(sink.address()).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST /sms?x=1 HTTP/1.1\r\nhost: x\r\nx-id: 7\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn http_requests_are_kept_and_refused_on_demand() {
    let sink = HttpSink::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    sink.set_fault(HttpFault::FailNext(1));
    assert_eq!(post(&sink, "{\"to\":\"010\"}").await, 503);
    assert_eq!(post(&sink, "{\"to\":\"010\"}").await, 200);
    assert!(sink.received_within(2, Duration::from_secs(1)).await);
    let accepted = sink.accepted();
    assert_eq!((sink.received().len(), accepted.len()), (2, 1));
    assert_eq!((accepted[0].path.as_str(), accepted[0].header("X-Id")), ("/sms?x=1", Some("7")));
    assert_eq!(accepted[0].json().unwrap()["to"], "010");
}
