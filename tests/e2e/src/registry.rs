//! Places that charts and images are pulled from, on loopback addresses.

use crate::World;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The Debian package's registry; it ends when this is dropped.
#[derive(Debug)]
pub struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    /// Starts it in the test's folder, with `settings` beside the address in its section `http`, and with `others`
    /// beside that.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(world: &World, settings: Value, others: Value) -> Self {
        let folder = world.folder();
        // Nobody else takes the port in the moment between.
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .to_string();
        let mut config = json!({
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": folder.join("images")}},
            "http": {"addr": address},
        });
        for (into, from) in [("/http", settings), ("", others)] {
            let into = config.pointer_mut(into).and_then(Value::as_object_mut);
            let from = from.as_object().cloned().unwrap_or_default();
            into.expect("it is there").extend(from);
        }
        let file = folder.join("registry.json");
        fs::write(&file, config.to_string()).expect("the file can be written");
        let process = Command::new("/usr/bin/docker-registry")
            .arg("serve")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the Debian package docker-registry is installed");
        let registry = Self { process, address };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&registry.address).is_err() {
            assert!(Instant::now() < deadline, "the registry does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        registry
    }

    /// Where it listens, `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves the files of a folder until the test ends; the URL.
///
/// # Panics
/// When no port is free.
pub fn serve_files(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has an address");
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Whoever hangs up gets no answer.
            let _ = answer(stream, &folder);
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let name = first
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .trim_start_matches('/');
    let file: PathBuf = folder.join(name);
    let (status, body) = match fs::read(file) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}
