//! Runs a command in a container and gives it access to ports of the host: `relay SOCKETS COMMAND…`. The folder SOCKETS
//! contains a Unix socket for each port, named after the port. The relay listens on that port and forwards connections
//! to the socket.

use std::env;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;

use anyhow::{Context, Result};

fn main() -> Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let sockets =
        PathBuf::from(arguments.next().context("usage: relay SOCKETS COMMAND…: the folder of sockets is missing")?);
    for entry in fs::read_dir(&sockets)? {
        let socket = entry?.path();
        let port = socket
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok())
            .context("a socket's name is not a port number")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        thread::spawn(move || listener.incoming().flatten().try_for_each(|caller| connect(caller, &socket)));
    }
    let status = Command::new(arguments.next().context("usage: relay SOCKETS COMMAND…: the command is missing")?)
        .args(arguments)
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn connect(caller: TcpStream, socket: &Path) -> io::Result<()> {
    let called = UnixStream::connect(socket)?;
    caller.set_nodelay(true)?;
    let (from_caller, from_called) = (caller.try_clone()?, called.try_clone()?);
    // When one side closes, the other side is closed too.
    thread::spawn(move || {
        let _ = io::copy(&mut &from_caller, &mut &called);
        let _ = called.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut &from_called, &mut &caller);
        let _ = caller.shutdown(Shutdown::Write);
    });
    Ok(())
}
