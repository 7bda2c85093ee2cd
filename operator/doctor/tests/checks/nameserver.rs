//! A DNS server with a few TXT records.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use simple_dns::rdata::{RData, TXT};
use simple_dns::{CLASS, Packet, PacketFlag, RCODE, ResourceRecord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// TXT records by name; `None` for a name at which the server fails.
pub(crate) type Records = BTreeMap<&'static str, Option<&'static [&'static str]>>;

/// Starts one, over UDP and TCP, that runs as long as the test.
pub(crate) async fn start(records: Records) -> SocketAddr {
    let (udp, tcp, address) = sockets().await;
    let tcp_records = records.clone();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut query).await {
            let mut reply = reply(&records, &query[..length]);
            if reply.len() > 512 {
                reply.truncate(512);
                // TC, the second bit of the third octet (RFC 1035, section 4.1.1).
                reply[2] |= 0b10;
            }
            udp.send_to(&reply, from).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let mut query = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut query).await.unwrap();
            let reply = reply(&tcp_records, &query);
            stream.write_u16(u16::try_from(reply.len()).unwrap()).await.unwrap();
            stream.write_all(&reply).await.unwrap();
        }
    });
    address
}

/// A port that is free for both protocols.
async fn sockets() -> (UdpSocket, TcpListener, SocketAddr) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap();
        if let Ok(tcp) = TcpListener::bind(address).await {
            return (udp, tcp, address);
        }
    }
}

fn reply(records: &Records, query: &[u8]) -> Vec<u8> {
    let mut packet = Packet::parse(query).unwrap().into_reply();
    let name = packet.questions[0].qname.clone();
    packet.set_flags(PacketFlag::RECURSION_AVAILABLE);
    match records.get(name.to_string().as_str()) {
        None => *packet.rcode_mut() = RCODE::NameError,
        Some(None) => *packet.rcode_mut() = RCODE::ServerFailure,
        Some(Some(texts)) => {
            for text in *texts {
                let record = TXT::try_from(*text).unwrap();
                packet.answers.push(ResourceRecord::new(name.clone(), CLASS::IN, 300, RData::TXT(record)));
            }
        }
    }
    packet.build_bytes_vec().unwrap()
}
