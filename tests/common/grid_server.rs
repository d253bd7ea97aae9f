//! A server on this machine that plays a live provider, correct or faulty, and records its requests.
#![allow(dead_code, clippy::unwrap_used)] // each test program uses a part

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// The answer to a request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Status 200 with this body.
    Answer(Vec<u8>),
    /// Status 200 with this body, in chunks.
    Chunked(Vec<u8>),
    /// This status, these header lines (each with its `\r
    /// `), and this body.
    Status(u16, String, Vec<u8>),
    /// The first answer whose text is in the path; else status 404.
    Paths(Vec<(&'static str, Behaviour)>),
    /// This body, with this pause after each byte.
    Slow(Vec<u8>, Duration),
    /// No answer.
    Silent,
    /// No answer, and no TLS handshake.
    Deaf,
    /// This body, with a Content-Length that is too large.
    CutOff(Vec<u8>),
    /// A body without an end.
    Endless,
    /// Header lines without an end.
    EndlessHeaders,
    /// A header line without an end.
    EndlessLine,
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
}

impl Behaviour {
    pub fn text(body: &str) -> Behaviour {
        Behaviour::Answer(body.as_bytes().to_vec())
    }

    pub fn status(code: u16) -> Behaviour {
        Behaviour::Status(code, String::new(), b"{\"message\": \"body-of-an-error\"}".to_vec())
    }

    pub fn with_header(code: u16, header: &str) -> Behaviour {
        Behaviour::Status(code, format!("{header}\r\n"), b"body-of-an-error".to_vec())
    }

    pub fn redirect(to: &str) -> Behaviour {
        Behaviour::with_header(302, &format!("Location: {to}"))
    }
}

/// The certificate of the server.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    /// For localhost and [`FAR`], from the authority of [`write_authority`].
    Good,
    /// Self-signed.
    SelfSigned,
    /// For another host.
    OtherName,
    /// Expired.
    Expired,
    /// Not valid yet.
    NotYet,
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

struct State {
    behaviour: Mutex<Behaviour>,
    asked: Mutex<Vec<Asked>>,
    is_over: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

/// The server. Dropping it ends it.
pub struct Server {
    state: Arc<State>,
    port: u16,
}

impl Server {
    /// Over plain HTTP.
    pub fn start(behaviour: Behaviour) -> Server {
        Server::listen(behaviour, None)
    }

    /// Over TLS.
    pub fn start_tls(behaviour: Behaviour, shown: Shown) -> Server {
        Server::listen(behaviour, Some(tls(shown)))
    }

    fn listen(behaviour: Behaviour, tls: Option<Arc<ServerConfig>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            behaviour: Mutex::new(behaviour),
            asked: Mutex::default(),
            is_over: AtomicBool::new(false),
            tls,
        });
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let state = shared.clone();
                thread::spawn(move || state.serve(stream));
            }
        });
        Server { state, port }
    }

    /// Scheme, host and port.
    pub fn url(&self) -> String {
        let (scheme, host) = if self.state.tls.is_some() { ("https", "localhost") } else { ("http", "127.0.0.1") };
        format!("{scheme}://{host}:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the answer, from the next request on.
    pub fn turns(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Waits for this number of requests, and returns all of them.
    pub fn await_requests(&self, number: usize) -> Vec<Asked> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.requests().len() < number && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        let asked = self.requests();
        assert!(asked.len() >= number, "{} requests, not {number}", asked.len());
        asked
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the listening thread
    }
}

/// A host that does not exist. Only a proxy can reach it.
pub const FAR: &str = "grid.invalid";

/// A proxy that connects to one server for any host.
pub struct Proxy {
    asked: Arc<Mutex<Vec<Asked>>>,
    port: u16,
}

impl Proxy {
    pub fn to(server: &Server) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, behind) = (listener.local_addr().unwrap().port(), server.port());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let shared = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || lead(stream, behind, &shared));
            }
        });
        Proxy { asked, port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn requests(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn lead(mut stream: TcpStream, behind: u16, asked: &Mutex<Vec<Asked>>) -> io::Result<()> {
    asked.lock().unwrap().push(read_request(&mut stream)?);
    let mut server = TcpStream::connect(("127.0.0.1", behind))?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from, mut to) = (stream.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    io::copy(&mut server, &mut stream).map(drop)
}

/// An address without a server.
pub fn refused_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port())
}

impl State {
    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let _ = stream.set_nodelay(true);
        if matches!(*self.behaviour.lock().unwrap(), Behaviour::Deaf) {
            return self.wait();
        }
        let _ = match &self.tls {
            None => self.answer(stream),
            Some(config) => {
                let connection = ServerConnection::new(config.clone()).unwrap();
                self.answer(StreamOwned::new(connection, stream))
            }
        };
    }

    fn answer(&self, mut stream: impl Read + Write) -> io::Result<()> {
        let asked = match read_request(&mut stream) {
            Ok(asked) => asked,
            // A TLS handshake with a server that has no TLS.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            }
            Err(error) => return Err(error),
        };
        let path = asked.path.clone();
        self.asked.lock().unwrap().push(asked);
        let behaviour = self.behaviour.lock().unwrap().clone();
        self.play(&behaviour, &path, &mut stream)?;
        stream.flush()
    }

    fn play(&self, behaviour: &Behaviour, path: &str, stream: &mut (impl Read + Write)) -> io::Result<()> {
        const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let length = |body: &[u8]| format!("Content-Length: {}\r\n\r\n", body.len());
        match behaviour {
            Behaviour::Answer(body) => {
                write!(stream, "{OK}{}", length(body))?;
                stream.write_all(body)
            }
            Behaviour::Chunked(body) => {
                write!(stream, "{OK}Transfer-Encoding: chunked\r\n\r\n")?;
                for chunk in body.chunks(7) {
                    write!(stream, "{:x}\r\n", chunk.len())?;
                    stream.write_all(chunk)?;
                    write!(stream, "\r\n")?;
                }
                write!(stream, "0\r\n\r\n")
            }
            Behaviour::Status(code, headers, body) => {
                write!(stream, "HTTP/1.1 {code} So\r\n{headers}{}", length(body))?;
                stream.write_all(body)
            }
            Behaviour::Paths(paths) => match paths.iter().find(|(known, _)| path.contains(known)) {
                Some((_, behaviour)) => self.play(behaviour, path, stream),
                None => self.play(&Behaviour::status(404), path, stream),
            },
            Behaviour::Slow(body, pause) => {
                write!(stream, "{OK}{}", length(body))?;
                for byte in body {
                    stream.write_all(&[*byte])?;
                    stream.flush()?;
                    thread::sleep(*pause);
                }
                Ok(())
            }
            Behaviour::Silent | Behaviour::Deaf => {
                self.wait();
                Ok(())
            }
            Behaviour::CutOff(body) => {
                write!(stream, "{OK}Content-Length: {}\r\n\r\n", body.len() + 100)?;
                stream.write_all(body)
            }
            Behaviour::Endless => {
                write!(stream, "{OK}\r\n")?;
                self.repeat(stream, b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[")
            }
            Behaviour::EndlessHeaders => {
                write!(stream, "HTTP/1.1 200 OK\r\n")?;
                self.repeat(stream, b"X-More: and more\r\n")
            }
            Behaviour::EndlessLine => {
                write!(stream, "HTTP/1.1 200 OK\r\nX-More: ")?;
                self.repeat(stream, b"and more ")
            }
            Behaviour::Raw(bytes) => stream.write_all(bytes),
        }
    }

    fn repeat(&self, stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        let many = bytes.repeat(100);
        while !self.is_over.load(Ordering::SeqCst) {
            stream.write_all(&many)?;
        }
        Ok(())
    }

    fn wait(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn read_request(stream: &mut impl Read) -> io::Result<Asked> {
    let mut lines = BufReader::with_capacity(1, stream.take(64 << 10)).lines();
    let mut line = || lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(Asked { at: Instant::now(), method, path, headers })
}

fn authority() -> &'static (Issuer<'static, KeyPair>, String) {
    static AUTHORITY: OnceLock<(Issuer<'static, KeyPair>, String)> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // differs from the names of its certificates
        params.distinguished_name.push(DnType::CommonName, "an authority for tests");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        (Issuer::new(params, key), pem)
    })
}

/// Writes the certificate of the authority of [`Shown::Good`], for SSL_CERT_FILE.
pub fn write_authority(path: &Path) {
    std::fs::write(path, &authority().1).unwrap();
}

fn tls(shown: Shown) -> Arc<ServerConfig> {
    let name = if matches!(shown, Shown::OtherName) { "elsewhere.example" } else { "localhost" };
    let mut names = vec![name.to_owned()];
    if matches!(shown, Shown::Good) {
        names.push(FAR.to_owned());
    }
    let mut params = CertificateParams::new(names).unwrap();
    match shown {
        Shown::Expired => {
            (params.not_before, params.not_after) = (date_time_ymd(1990, 1, 1), date_time_ymd(1999, 1, 1))
        }
        Shown::NotYet => (params.not_before, params.not_after) = (date_time_ymd(2990, 1, 1), date_time_ymd(2999, 1, 1)),
        _ => (),
    }
    let key = KeyPair::generate().unwrap();
    let certificate = match shown {
        Shown::SelfSigned => params.self_signed(&key).unwrap(),
        _ => params.signed_by(&key, &authority().0).unwrap(),
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
}
