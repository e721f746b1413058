//! A line between two servers that can be cut and mended.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct State {
    target: Option<SocketAddr>,
    is_cut: bool,
    is_silent: bool,
    open: Vec<TcpStream>,
}

impl State {
    fn hang_up(&mut self) {
        for stream in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A TCP proxy. Clones are the same line.
#[derive(Clone)]
pub struct Line {
    /// Where it begins.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Line {
    /// A line that leads nowhere yet.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock().expect("state");
                if state.is_silent {
                    state.open.push(near);
                    continue;
                }
                let far = state.target.filter(|_| !state.is_cut).and_then(|target| TcpStream::connect(target).ok());
                let Some(far) = far else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().expect("cloned"), to.try_clone().expect("cloned"));
                    state.open.push(from.try_clone().expect("cloned"));
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || {
                        let mut bytes = vec![0; 65_536];
                        while let Ok(count @ 1..) = from.read(&mut bytes) {
                            if !shared.lock().expect("state").is_silent && to.write_all(&bytes[..count]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { address, state }
    }

    /// Where it leads.
    pub fn lead_to(&self, target: SocketAddr) {
        self.state.lock().expect("state").target = Some(target);
    }

    /// Nothing goes through any more, and what was on its way is lost.
    pub fn cut(&self) {
        let mut state = self.state.lock().expect("state");
        state.is_cut = true;
        state.hang_up();
    }

    /// Who calls is heard, and nobody answers.
    pub fn silence(&self) {
        let mut state = self.state.lock().expect("state");
        state.is_silent = true;
        state.hang_up();
    }

    /// Nor does anybody any more who was called before: what is said is lost, and nobody is told.
    pub fn swallow(&self) {
        self.state.lock().expect("state").is_silent = true;
    }

    /// Who calls just now.
    pub fn calls(&self) -> usize {
        self.state.lock().expect("state").open.len()
    }

    /// It is whole again.
    pub fn mend(&self) {
        let mut state = self.state.lock().expect("state");
        (state.is_cut, state.is_silent) = (false, false);
        state.hang_up();
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}
