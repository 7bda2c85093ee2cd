//! Runs a command where the loopback address is not this machine's, in a container, and lets it reach this machine's ports
//! all the same: `relay SOCKETS COMMAND…`. In the folder SOCKETS, each port has a socket that leads to it.

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
    let sockets = PathBuf::from(arguments.next().context("which sockets?")?);
    for entry in fs::read_dir(&sockets)? {
        let socket = entry?.path();
        let port = socket.file_name().and_then(|name| name.to_str()?.parse().ok()).context("no port's name")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        thread::spawn(move || listener.incoming().flatten().try_for_each(|caller| connect(caller, &socket)));
    }
    let status = Command::new(arguments.next().context("which command?")?).args(arguments).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn connect(caller: TcpStream, socket: &Path) -> io::Result<()> {
    let called = UnixStream::connect(socket)?;
    caller.set_nodelay(true)?;
    let (from_caller, from_called) = (caller.try_clone()?, called.try_clone()?);
    // Whoever breaks off is heard of at the other end.
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
