//! Some things are put in their place only while the server is down for a moment: a restored
//! database, the database of a partner. The request lays them ready and asks for a new beginning;
//! whoever runs the server does that.

use std::sync::Arc;

use tokio::sync::Notify;

/// See the module. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Restart(Arc<Notify>);

impl Restart {
    /// Asks for it. It waits for whoever does it.
    pub fn ask(&self) {
        self.0.notify_one();
    }

    /// Ends when it is asked for.
    pub async fn asked(&self) {
        self.0.notified().await;
    }
}
