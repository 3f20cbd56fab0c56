//! The bytes of the objects: one file for each version, in one directory.
//!
//! Chunk → file, on a thread that may wait → hash and size. A file is named by a random id, never by what a
//! client sent, and is not changed once its row is there. A file that no row names, left over by a crash, is
//! removed at the next start. In memory mode the directory is a temporary one.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use axum::body::{Body, Bytes};
use futures::stream;
use md5::Md5;
use sha2::digest::{Digest, DynDigest};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::tus::Turn;

/// The directory inside a data directory.
const DIRECTORY: &str = "storage";

/// How much is read and sent at once.
const CHUNK_BYTES: usize = 64 << 10;

/// All files of one cloud.
#[derive(Debug)]
pub(crate) struct Blobs {
    root: PathBuf,
    /// Removed with everything in it when the cloud ends.
    temporary: Option<TempDir>,
}

impl Blobs {
    /// Opens the files of `data_dir`, or an empty temporary directory.
    pub(crate) fn open(data_dir: Option<&Path>) -> io::Result<Self> {
        let Some(data_dir) = data_dir else {
            let temporary = tempfile::Builder::new().prefix("cloud-dev-").tempdir()?;
            return Ok(Self { root: temporary.path().to_owned(), temporary: Some(temporary) });
        };
        let root = data_dir.join(DIRECTORY);
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(&root)?;
        Ok(Self { root, temporary: None })
    }

    /// Removes every file that is not `needed`.
    pub(crate) async fn sweep(&self, needed: HashSet<String>) -> io::Result<()> {
        let root = self.root.clone();
        let sweep = move || {
            for entry in fs::read_dir(root)? {
                let entry = entry?;
                if !entry.file_name().to_str().is_some_and(|name| needed.contains(name)) {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        spawn_blocking(sweep).await.map_err(io::Error::other)?
    }

    /// Where the files are.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, version: &str) -> PathBuf {
        self.root.join(version)
    }

    fn is_durable(&self) -> bool {
        self.temporary.is_none()
    }

    /// A new file, which goes away again unless it is [kept](Writer::keep).
    pub(super) async fn create(&self, version: &str) -> io::Result<Writer> {
        let (path, durable) = (self.path(version), self.is_durable());
        let open = move || {
            let file = private().create_new(true).open(&path)?;
            let hash: Box<dyn DynDigest + Send> = Box::new(Md5::new());
            Ok(Writer::new(Inner { file, size: 0, hash: Some(hash), abandoned: Some(path), durable, turn: None }))
        };
        spawn_blocking(open).await.map_err(io::Error::other)?
    }

    /// The file of a resumable upload, open at its end; `hash` gets what is appended, `turn` lasts as long
    /// as the writer does.
    pub(super) async fn append(
        &self,
        version: &str,
        hash: Option<Box<dyn DynDigest + Send>>,
        turn: Turn,
    ) -> io::Result<Writer> {
        let (path, durable) = (self.path(version), self.is_durable());
        let open = move || {
            let mut file = private().create(true).truncate(false).open(&path)?;
            let size = file.seek(SeekFrom::End(0))?;
            Ok(Writer::new(Inner { file, size, hash, abandoned: None, durable, turn: Some(turn) }))
        };
        spawn_blocking(open).await.map_err(io::Error::other)?
    }

    /// How many bytes a file has; none if it was not begun.
    pub(super) async fn size(&self, version: &str) -> io::Result<u64> {
        let path = self.path(version);
        let size = move || match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        };
        spawn_blocking(size).await.map_err(io::Error::other)?
    }

    /// The entity tag of a whole file.
    pub(super) async fn etag(&self, version: &str) -> io::Result<String> {
        let path = self.path(version);
        let hash = move || {
            let (mut file, mut hash, mut chunk) = (File::open(&path)?, Md5::new(), vec![0; CHUNK_BYTES]);
            loop {
                match file.read(&mut chunk)? {
                    0 => return Ok(quoted(&hash.finalize())),
                    read => Digest::update(&mut hash, chunk.get(..read).unwrap_or_default()),
                }
            }
        };
        spawn_blocking(hash).await.map_err(io::Error::other)?
    }

    /// Gives the bytes of one version a second name.
    pub(super) async fn copy(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        let copy = move || fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ()));
        spawn_blocking(copy).await.map_err(io::Error::other)?
    }

    /// Removes files; what cannot be removed now goes at the next start.
    pub(super) async fn remove(&self, versions: Vec<String>) {
        let paths: Vec<PathBuf> = versions.iter().map(|version| self.path(version)).collect();
        let _ = spawn_blocking(move || paths.iter().for_each(|path| drop(fs::remove_file(path)))).await;
    }

    /// `length` bytes from `first` on, as they are asked for.
    pub(super) async fn read(&self, version: &str, first: u64, length: u64) -> io::Result<Body> {
        let path = self.path(version);
        let open = move || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(first))?;
            Ok::<_, io::Error>(file)
        };
        let file = spawn_blocking(open).await.map_err(io::Error::other)??;
        let chunks = stream::try_unfold((file, length), async |(file, left)| {
            if left == 0 {
                return Ok(None);
            }
            spawn_blocking(move || chunk(file, left)).await.map_err(io::Error::other)?
        });
        Ok(Body::from_stream(chunks))
    }
}

type Next = Option<(Bytes, (File, u64))>;

fn chunk(mut file: File, left: u64) -> io::Result<Next> {
    let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES))];
    file.read_exact(&mut chunk)?;
    let left = left - chunk.len() as u64;
    Ok(Some((chunk.into(), (file, left))))
}

fn private() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Hash bytes as an entity tag.
fn quoted(hash: &[u8]) -> String {
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// A file that is being written.
///
/// # Cancel safety
///
/// A dropped writer lets the chunk in flight reach the file first; a new file is then removed.
pub(super) struct Writer(Option<Box<Inner>>);

struct Inner {
    file: File,
    size: u64,
    hash: Option<Box<dyn DynDigest + Send>>,
    abandoned: Option<PathBuf>,
    durable: bool,
    #[expect(dead_code, reason = "held for as long as the file is open")]
    turn: Option<Turn>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("size", &self.size()).finish_non_exhaustive()
    }
}

impl Writer {
    fn new(inner: Inner) -> Self {
        Self(Some(Box::new(inner)))
    }

    /// The size of the file.
    pub(super) fn size(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.size)
    }

    pub(super) async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.run(move |inner| {
            inner.file.write_all(&chunk)?;
            inner.size += chunk.len() as u64;
            if let Some(hash) = &mut inner.hash {
                hash.update(&chunk);
            }
            Ok(())
        })
        .await
    }

    /// Returns once the bytes are as safe as they get.
    pub(super) async fn settle(&mut self) -> io::Result<()> {
        self.run(|inner| if inner.durable { inner.file.sync_data() } else { Ok(()) }).await
    }

    /// Forgets what is past `size`.
    pub(super) async fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.run(move |inner| {
            inner.size = size;
            inner.file.set_len(size)
        })
        .await
    }

    /// The hash of what was written.
    pub(super) fn hash(&self) -> Option<Box<[u8]>> {
        let hash = self.0.as_ref()?.hash.as_ref()?;
        Some(hash.box_clone().finalize())
    }

    /// The entity tag of what was written.
    pub(super) fn etag(&self) -> String {
        quoted(&self.hash().unwrap_or_default())
    }

    /// Lets the file stay.
    pub(super) fn keep(mut self) {
        if let Some(inner) = &mut self.0 {
            inner.abandoned = None;
        }
    }

    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Inner) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let mut inner = self.0.take().ok_or_else(|| io::Error::other("an earlier write broke off"))?;
        let worked = spawn_blocking(move || {
            let result = work(&mut inner);
            (inner, result)
        });
        let (inner, result) = worked.await.map_err(io::Error::other)?;
        self.0 = Some(inner);
        result
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(path) = self.abandoned.take() {
            let _ = fs::remove_file(path); // what stays goes at the next start
        }
    }
}
