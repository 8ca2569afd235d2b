//! What a run keeps on disk for its client: a state folder, and the authorities that it has to trust.
//!
//! **Invariant:** only this user may enter what is created here, and a state folder is gone with its run.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use brownout_provider::shell::server::Server;

use super::RunError;

/// What programs have to trust, in a file of its own, gone with the run.
pub(super) struct Trust(Option<(StateDir, PathBuf)>);

/// The variables by which programs are told which authorities to trust.
const TRUSTED: [&str; 3] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"];

impl Trust {
    /// Writes down the authorities of all servers; nothing where none speaks TLS.
    pub(super) fn in_servers(servers: &[Server]) -> Result<Self, RunError> {
        let all: String = servers.iter().filter_map(Server::authority).collect();
        if all.is_empty() {
            return Ok(Self(None));
        }
        let folder = StateDir::create()?;
        let path = folder.0.join("authority.pem");
        std::fs::write(&path, all)
            .map_err(|source| RunError::Folder { path: path.clone(), source })?;
        Ok(Self(Some((folder, path))))
    }

    /// The variables that name the file.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let path = self.0.iter().map(|(_, path)| path.to_string_lossy().into_owned());
        path.flat_map(|path| TRUSTED.map(|name| (name.to_owned(), path.clone()))).collect()
    }
}

/// An empty folder of a run, gone with it.
pub(super) struct StateDir(PathBuf);

/// Tells the state folders of this process apart.
static LAST_STATE_DIR: AtomicU64 = AtomicU64::new(0);

impl StateDir {
    /// Creates a folder that did not exist and that only this user may enter.
    pub(super) fn create() -> Result<Self, RunError> {
        use std::os::unix::fs::DirBuilderExt;
        let parent = std::env::temp_dir();
        for _ in 0..1_000 {
            let number = LAST_STATE_DIR.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("brownout-{}-{number}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                // Left by an earlier process of the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(RunError::Folder { path, source }),
            }
        }
        let source = io::Error::from(io::ErrorKind::AlreadyExists);
        Err(RunError::Folder { path: parent, source })
    }

    /// Its path.
    pub(super) fn text(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        // What cannot be removed is in the folder for temporary files, where others clear away.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Creates a folder, and those above it, that only this user may enter.
pub(super) fn create_private(path: &Path) -> Result<(), RunError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| RunError::Folder { path: path.to_owned(), source })
}
