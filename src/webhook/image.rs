//! What an image's name tells of the program in it.

/// A reference such as `registry:5000/library/docker:28-dind@sha256:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Image<'a> {
    /// With the registry, without tag and digest.
    repository: &'a str,
    tag: Option<&'a str>,
    has_digest: bool,
}

/// What docker's image holds, as far as its tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Docker {
    /// Its entrypoint starts a dockerd, unless the arguments are another program.
    Daemon,
    /// The same, as a user, behind a user-mode network stack.
    Rootless,
    /// `docker:28` is the image of the daemon since 23, and that of the client before; a digest alone may be either.
    Either,
    /// The client, or not docker's image.
    No,
}

/// An environment variable by which an image that starts a dockerd of its own takes the MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knob {
    /// Words for dockerd.
    DockerOpts,
    /// Of plugins of Drone and Woodpecker.
    PluginMtu,
    /// Of the runner of GitHub's legacy controller.
    Mtu,
    /// Of kasm.
    DockerMtu,
    /// Of Earthly's buildkitd.
    CniMtu,
}

/// Images that ignore arguments, by the end of their repository.
const KNOBS: [(&str, Knob); 11] = [
    ("rewardenv/docker", Knob::DockerOpts),
    ("plugins/docker", Knob::PluginMtu),
    ("plugins/acr", Knob::PluginMtu),
    ("plugins/ecr", Knob::PluginMtu),
    ("plugins/gar", Knob::PluginMtu),
    ("plugins/gcr", Knob::PluginMtu),
    ("woodpeckerci/plugin-docker-buildx", Knob::PluginMtu),
    ("summerwind/actions-runner-dind", Knob::Mtu),
    ("summerwind/actions-runner-dind-rootless", Knob::Mtu),
    ("linuxserver/kasm", Knob::DockerMtu),
    ("earthly/buildkitd", Knob::CniMtu),
];

/// Docker Hub's names of docker's own image, which nobody else can use.
const DOCKER_HUBS: [&str; 4] = ["docker", "library/docker", "docker.io/docker", "docker.io/library/docker"];

/// Words of the tags of docker's own image, beside versions.
const FLAVOURS: [&str; 10] = ["", "ce", "cli", "dind", "edge", "git", "latest", "rootless", "stable", "test"];

/// How others of its words begin: `28`, `alpine3.22`, `rc.1`, `beta2`.
const KINDS_OF_VERSION: [&str; 3] = ["alpine", "beta", "rc"];

/// The first release whose untagged flavour is the daemon.
const FIRST_DAEMON: u32 = 23;

impl Knob {
    /// The variable.
    pub fn variable(self) -> &'static str {
        match self {
            Self::DockerOpts => "DOCKER_OPTS",
            Self::PluginMtu => "PLUGIN_MTU",
            Self::Mtu => "MTU",
            Self::DockerMtu => "DOCKER_MTU",
            Self::CniMtu => "CNI_MTU",
        }
    }
}

impl<'a> Image<'a> {
    pub(super) fn parse(reference: &'a str) -> Self {
        let (name, digest) = match reference.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (reference, None),
        };
        // A colon before the last slash is that of the registry's port.
        let path = name.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match name[path..].find(':') {
            Some(colon) => (&name[..path + colon], Some(&name[path + colon + 1..])),
            None => (name, None),
        };
        Self { repository, tag, has_digest: digest.is_some() }
    }

    pub(super) fn docker(self) -> Docker {
        if !self.is_named_docker() {
            return Docker::No;
        }
        let tag = match self.tag {
            Some(tag) => tag,
            None if self.has_digest => return Docker::Either,
            None => "latest",
        };
        let has = |flavour: &str| tag.split('-').any(|part| part == flavour);
        let major = tag.split(|char: char| !char.is_ascii_digit()).next().unwrap_or_default().parse::<u32>();
        if tag.contains("dind") {
            if has("rootless") { Docker::Rootless } else { Docker::Daemon }
        } else if has("cli") || major.is_ok_and(|major| major < FIRST_DAEMON) {
            Docker::No
        } else {
            Docker::Either
        }
    }

    /// Whether it is docker's own image, from Docker Hub or, as far as its name says, from wherever. One that somebody made
    /// of it has another name, or a word in its tag that docker's own rarely have.
    pub(super) fn is_dockers_own(self) -> bool {
        let is_version = |word: &str| {
            word.starts_with(|char: char| char.is_ascii_digit())
                || KINDS_OF_VERSION.iter().any(|kind| word.starts_with(kind))
        };
        let mut words = self.tag.unwrap_or_default().split('-');
        DOCKER_HUBS.contains(&self.repository)
            || self.is_named_docker() && words.all(|word| FLAVOURS.contains(&word) || is_version(word))
    }

    fn is_named_docker(self) -> bool {
        self.repository.rsplit('/').next() == Some("docker")
    }

    pub(super) fn knob(self) -> Option<Knob> {
        KNOBS.into_iter().find_map(|(name, knob)| self.ends_with(name).then_some(knob))
    }

    fn ends_with(self, path: &str) -> bool {
        self.repository.strip_suffix(path).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_image_is_known_behind_any_registry_with_tag_and_digest() {
        for (reference, expected) in [
            ("docker:dind", Docker::Daemon),
            ("docker:28.0-dind-alpine3.21", Docker::Daemon),
            ("docker.io/library/docker:20.10.24-dind@sha256:abc", Docker::Daemon),
            ("localhost:5000/docker:dind", Docker::Daemon),
            ("mirror.example/proxy/docker:19.03.1-dind", Docker::Daemon),
            ("docker:dind-rootless", Docker::Rootless),
            ("docker:20.10-dind-rootless", Docker::Rootless),
            ("docker", Docker::Either),
            ("docker:latest", Docker::Either),
            ("docker:23", Docker::Either),
            ("docker:28.3.1-alpine3.22", Docker::Either),
            ("localhost:5000/docker", Docker::Either),
            ("mirror.gcr.io/library/docker@sha256:abc", Docker::Either),
            ("docker:28-cli", Docker::No),
            ("docker:cli", Docker::No),
            ("docker:20.10", Docker::No),
            ("docker:19.03.1", Docker::No),
            ("mydocker:dind", Docker::No),
            ("docker-proxy:dind", Docker::No),
            ("docker/compose:dind", Docker::No),
            ("", Docker::No),
        ] {
            assert_eq!(Image::parse(reference).docker(), expected, "{reference}");
        }
    }

    #[test]
    fn dockers_own_image_is_known_by_its_name_and_the_words_of_its_tag() {
        for own in [
            "docker",
            "docker:dind",
            "docker:stable-dind",
            "docker:1.13.1-experimental-dind",
            "docker:17.06.0-ce-dind",
            "docker:28.0.0-rc.1-dind-alpine3.21",
            "docker.io/library/docker:28-dind@sha256:abc",
            "localhost:5000/docker@sha256:abc",
            "artifactory.example/docker-remote/docker:20.10.24-dind-rootless",
            "gitlab.example/group/dependency_proxy/containers/docker:dind",
        ] {
            assert!(Image::parse(own).is_dockers_own(), "{own}");
        }
        for other in
            ["team/docker:27-dind-mirror", "localhost:5000/docker:dind-ci", "team/dind:27", "mydocker", ""]
        {
            assert!(!Image::parse(other).is_dockers_own(), "{other}");
        }
    }

    #[test]
    fn images_with_a_variable_of_their_own_are_known_by_the_end_of_their_repository() {
        let knob = |reference: &str| Image::parse(reference).knob().map(Knob::variable);
        assert_eq!(knob("rewardenv/docker:20.10.7-dind"), Some("DOCKER_OPTS"));
        assert_eq!(knob("docker.io/plugins/docker"), Some("PLUGIN_MTU"));
        assert_eq!(knob("ghcr.io/x/notplugins/docker"), None);
        assert_eq!(knob("docker:dind"), None);
    }
}
