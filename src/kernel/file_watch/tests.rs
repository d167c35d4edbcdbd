use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

/// A test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

struct Watched {
    directory: TempDir,
    watch: FileWatch,
}

impl Watched {
    /// `config.toml`, as `make` leaves it.
    fn new(make: impl FnOnce(&Path)) -> Self {
        let directory = TempDir::new().unwrap();
        make(directory.path());
        let watch = FileWatch::open(&directory.path().join("config.toml")).unwrap();
        Self { directory, watch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn changed(&mut self) {
        timeout(PATIENCE, self.watch.next()).await.expect("nothing was told").unwrap();
    }

    /// Whether anything is told of what has happened until now: the kernel queues events before a call returns.
    fn told(&self) -> bool {
        self.watch.drain().unwrap()
    }
}

fn with_file(directory: &Path) {
    fs::write(directory.join("config.toml"), "old").unwrap();
}

#[tokio::test]
async fn a_file_written_in_place_is_told_once_it_is_closed() {
    use std::io::Write;
    let mut watched = Watched::new(with_file);
    let mut file = fs::File::create(watched.path("config.toml")).unwrap();
    file.write_all(b"half").unwrap();
    assert!(!watched.told());
    drop(file);
    watched.changed().await;
    assert!(!watched.told(), "once");
}

#[tokio::test]
async fn a_file_renamed_over_it_is_told() {
    let mut watched = Watched::new(with_file);
    fs::write(watched.path(".config.toml.new"), "new").unwrap();
    assert!(!watched.told(), "another file");
    fs::rename(watched.path(".config.toml.new"), watched.path("config.toml")).unwrap();
    watched.changed().await;
}

#[tokio::test]
async fn the_swap_of_a_config_map_is_told() {
    let mut watched = Watched::new(|directory| {
        fs::create_dir(directory.join("..2026_01")).unwrap();
        fs::write(directory.join("..2026_01/config.toml"), "old").unwrap();
        symlink("..2026_01", directory.join("..data")).unwrap();
        symlink("..data/config.toml", directory.join("config.toml")).unwrap();
    });
    fs::create_dir(watched.path("..2026_02")).unwrap();
    fs::write(watched.path("..2026_02/config.toml"), "new").unwrap();
    symlink("..2026_02", watched.path("..data_tmp")).unwrap();
    assert!(!watched.told());
    fs::rename(watched.path("..data_tmp"), watched.path("..data")).unwrap();
    watched.changed().await;
    assert_eq!(fs::read_to_string(watched.path("config.toml")).unwrap(), "new");
}

#[tokio::test]
async fn a_file_that_comes_later_and_goes_again_is_told() {
    let mut watched = Watched::new(|_| {});
    let file = fs::File::create(watched.path("config.toml")).unwrap();
    assert!(!watched.told(), "it is empty");
    drop(file);
    watched.changed().await;
    fs::remove_file(watched.path("config.toml")).unwrap();
    watched.changed().await;
    symlink("elsewhere", watched.path("config.toml")).unwrap();
    watched.changed().await;
}

#[tokio::test]
async fn other_files_are_not_told() {
    let watched = Watched::new(with_file);
    fs::write(watched.path("config.toml~"), "").unwrap();
    fs::remove_file(watched.path("config.toml~")).unwrap();
    fs::read(watched.path("config.toml")).unwrap();
    assert!(!watched.told());
}

#[tokio::test]
async fn a_directory_that_is_gone_is_an_error_that_names_it() {
    let mut watched = Watched::new(with_file);
    fs::remove_dir_all(watched.directory.path()).unwrap();
    let error = timeout(PATIENCE, watched.watch.next()).await.expect("nothing was told").unwrap_err();
    let directory = watched.directory.path().display().to_string();
    assert!(error.to_string().contains(&directory), "{error}");
}

#[tokio::test]
async fn what_is_no_file_in_a_directory_is_refused() {
    let refused = |path| FileWatch::open(Path::new(path)).unwrap_err().to_string();
    assert_eq!(refused("/"), "watch /: give the path of a file");
    assert_eq!(refused("/nowhere/config.toml"), "watch directory /nowhere for changes of its files");
    assert!(FileWatch::open(Path::new("Cargo.toml")).is_ok(), "in the working directory");
}
