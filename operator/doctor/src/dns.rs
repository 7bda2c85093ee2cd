//! TXT records, from the DNS servers of this machine.
//!
//! Over UDP, and over TCP if an answer is too long for that (RFC 7766). A library for all of DNS would bring thirty crates.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// What one server may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The longest answer over UDP without extensions (RFC 1035, section 2.3.4).
const UDP_LENGTH: usize = 512;

/// The machine's DNS servers, as `/etc/resolv.conf` names them.
pub(crate) fn system_servers() -> Vec<SocketAddr> {
    servers_in(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

fn servers_in(configuration: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, 53))
    };
    configuration.lines().filter_map(server).collect()
}

/// The TXT records of a name, from the first server that responds; none if the name has none or does not exist.
pub(crate) async fn txt(servers: &[SocketAddr], name: &str) -> Result<Vec<String>, String> {
    let mut failure = "this machine names no DNS server".to_owned();
    for server in servers {
        match timeout(TIMEOUT, ask(*server, name)).await {
            Ok(Ok(records)) => return Ok(records),
            Ok(Err(error)) => failure = format!("{error:#}"),
            Err(_) => failure = format!("the DNS server {server} does not respond"),
        }
    }
    Err(failure)
}

async fn ask(server: SocketAddr, name: &str) -> Result<Vec<String>> {
    let id = fastrand::u16(..);
    let query = query(id, name)?;
    let reply = over_udp(server, &query).await.with_context(|| format!("cannot ask the DNS server {server}"))?;
    if let Some(records) = records_in(&reply, id)? {
        return Ok(records);
    }
    let reply =
        over_tcp(server, &query).await.with_context(|| format!("cannot ask the DNS server {server} over TCP"))?;
    records_in(&reply, id)?.context("the DNS server's answer is incomplete")
}

fn query(id: u16, name: &str) -> Result<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(Name::new(name)?, QTYPE::TYPE(TYPE::TXT), CLASS::IN.into(), false));
    Ok(packet.build_bytes_vec()?)
}

async fn over_udp(server: SocketAddr, query: &[u8]) -> Result<Vec<u8>> {
    let own: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(own).await?;
    // From here on, packets of others are dropped.
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut reply = vec![0; UDP_LENGTH];
    let length = socket.recv(&mut reply).await?;
    reply.truncate(length);
    Ok(reply)
}

async fn over_tcp(server: SocketAddr, query: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).context("the name is too long")?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}

/// The records of a reply; `None` if it was cut.
fn records_in(reply: &[u8], id: u16) -> Result<Option<Vec<String>>> {
    // A cut reply may end within a record, so its flags are looked at first.
    let whole = !simple_dns::header_buffer::has_flags(reply, PacketFlag::TRUNCATION)?;
    ensure!(simple_dns::header_buffer::id(reply)? == id, "the DNS server's answer is for another question");
    if !whole {
        return Ok(None);
    }
    let packet = Packet::parse(reply).context("the DNS server's answer cannot be read")?;
    match packet.rcode() {
        RCODE::NoError | RCODE::NameError => {}
        other => bail!("the DNS server returns {other:?}"),
    }
    // An alias (CNAME) comes with the records that it leads to.
    let text = |record: simple_dns::ResourceRecord<'_>| match record.rdata {
        RData::TXT(text) => String::try_from(text).ok(),
        _ => None,
    };
    Ok(Some(packet.answers.into_iter().filter_map(text).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_those_of_the_machine() {
        let configuration = "# nameserver 192.0.2.9\nsearch bank.example\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1\nnameserver\nnameserver x\n";
        assert_eq!(servers_in(configuration), ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_server_that_does_not_respond_is_no_answer() {
        assert!(txt(&[], "bank.example").await.is_err());
        // Nobody listens on port 1 of this machine.
        assert!(txt(&["127.0.0.1:1".parse().unwrap()], "bank.example").await.is_err());
    }
}
