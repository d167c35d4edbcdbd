//! The clamp: nftables table `inet mtu_agent`, which lets no TCP connection that is forwarded announce segments larger
//! than what its route carries.
//!
//! ```text
//! table inet mtu_agent {
//!     chain forward {
//!         type filter hook forward priority mangle; policy accept;
//!         tcp flags syn / syn,rst tcp option maxseg size set rt mtu
//!     }
//! }
//! ```
//!
//! It is of no other chain or table, so that a dockerd that makes or flushes its own does not touch it. Written by
//! netlink, without the `nft` binary; `nft --debug=netlink` shows the same expressions.

use std::io;

use netlink_packet_core::{DecodeError, NLA_HEADER_SIZE, NlaBuffer, NlasIterator, parse_string};
use rustix::io::Errno;

use super::nfnetlink::{
    Existing, FAMILY_BYTES, Failure, Message, NetfilterSocket, attribute, nested, number, text,
};

/// Name of the table.
pub const TABLE: &str = "mtu_agent";
const CHAIN: &str = "forward";

// `include/uapi/linux/netfilter/nf_tables.h` and `include/uapi/linux/netfilter.h`.
const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_DELTABLE: u16 = 2;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_GETCHAIN: u16 = 4;
const NFT_MSG_NEWRULE: u16 = 6;
const NFT_MSG_GETRULE: u16 = 7;
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NF_INET_FORWARD: u32 = 2;
const NF_ACCEPT: u32 = 1;
/// "mangle".
const PRIORITY: i32 = -150;
const NFT_REG_1: u32 = 1;
/// What is attempted when nothing is written.
const READ: &str = "read";
const HEAR: &str = "hear of changes of";

/// What is there of the clamp in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clamp {
    /// No table of that name.
    Absent,
    /// The table as it should be.
    Present,
    /// A table of that name that says something else.
    Altered,
}

/// The clamp could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ClampError {
    /// This kernel cannot do it.
    #[error(
        "{attempt} nftables table inet {TABLE}: this kernel lacks what it takes (nf_tables, nf_tables_inet, \
         nft_exthdr, nft_rt); load the modules on the host, or tune links alone (--mode links)"
    )]
    Unsupported {
        /// What was attempted.
        attempt: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// It may not be done.
    #[error("{attempt} nftables table inet {TABLE}: needs CAP_NET_ADMIN over the network namespace")]
    Permission {
        /// What was attempted.
        attempt: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel said no.
    #[error("{attempt} nftables table inet {TABLE}: refused by the kernel")]
    Refused {
        /// What was attempted.
        attempt: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket broke.
    #[error("{attempt} nftables table inet {TABLE}: exchange with the kernel")]
    Exchange {
        /// What was attempted.
        attempt: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The kernel's answer is not what its headers promise.
    #[error("{attempt} nftables table inet {TABLE}: the kernel's answer cannot be read")]
    Malformed {
        /// What was attempted.
        attempt: &'static str,
        /// What is wrong with it.
        source: DecodeError,
    },
}

impl ClampError {
    pub(super) fn from_watch(failure: Failure) -> Self {
        meaning(HEAR, failure)
    }
}

/// What there is in the calling thread's namespace.
pub fn read() -> Result<Clamp, ClampError> {
    let failed = |failure| meaning(READ, failure);
    let mut socket = NetfilterSocket::open().map_err(failed)?;
    let table = Message {
        kind: NFT_MSG_GETTABLE,
        existing: Existing::Required,
        attributes: text(NFTA_TABLE_NAME, TABLE),
    };
    match socket.ask(&table, false, |_| Ok(())) {
        Err(absent) if is_not_found(&absent) => return Ok(Clamp::Absent),
        answer => answer.map_err(failed)?,
    }
    let of_table = text(NFTA_CHAIN_TABLE, TABLE);
    let existing = Existing::Required;
    let (mut chains, mut rules) = (Vec::new(), Vec::new());
    let all_chains = Message { kind: NFT_MSG_GETCHAIN, existing, attributes: of_table.clone() };
    socket.ask(&all_chains, true, |chain| keep(chain, NFTA_CHAIN_TABLE, &mut chains)).map_err(failed)?;
    let all_rules = Message { kind: NFT_MSG_GETRULE, existing, attributes: of_table };
    socket.ask(&all_rules, true, |rule| keep(rule, NFTA_RULE_TABLE, &mut rules)).map_err(failed)?;
    let is_as_wanted = match (chains.as_slice(), rules.as_slice()) {
        ([found], [rule]) => says(found, &chain()).and_then(|says| Ok(says && is_clamp(rule)?)),
        _ => Ok(false),
    };
    let is_as_wanted = is_as_wanted.map_err(|source| ClampError::Malformed { attempt: READ, source })?;
    Ok(if is_as_wanted { Clamp::Present } else { Clamp::Altered })
}

/// Puts the table there, in place of any of that name, in one step.
pub fn put() -> Result<(), ClampError> {
    write("make", &creation())
}

/// Removes the table. One that is not there is no failure.
pub fn remove() -> Result<(), ClampError> {
    write("delete", &removal())
}

fn write(attempt: &'static str, batch: &[Message]) -> Result<(), ClampError> {
    let done = NetfilterSocket::open().and_then(|mut socket| socket.batch(batch));
    done.map_err(|failure| meaning(attempt, failure))
}

/// A table that is not there cannot be deleted: it is made first, and nobody sees that.
fn removal() -> [Message; 2] {
    let attributes = text(NFTA_TABLE_NAME, TABLE);
    let message = |kind, existing| Message { kind, existing, attributes: attributes.clone() };
    [message(NFT_MSG_NEWTABLE, Existing::MakeIfAbsent), message(NFT_MSG_DELTABLE, Existing::Required)]
}

fn creation() -> Vec<Message> {
    let message = |kind, attributes: &[Vec<u8>]| Message {
        kind,
        existing: Existing::MakeIfAbsent,
        attributes: attributes.concat(),
    };
    let rule = [
        text(NFTA_RULE_TABLE, TABLE),
        text(NFTA_RULE_CHAIN, CHAIN),
        nested(NFTA_RULE_EXPRESSIONS, &expressions().map(|it| it.to_bytes())),
    ];
    let mut batch = removal().to_vec();
    batch.push(message(NFT_MSG_NEWTABLE, &[text(NFTA_TABLE_NAME, TABLE)]));
    batch.push(message(NFT_MSG_NEWCHAIN, &[&[text(NFTA_CHAIN_TABLE, TABLE)][..], &chain()].concat()));
    batch.push(message(NFT_MSG_NEWRULE, &rule));
    batch
}

/// `type filter hook forward priority mangle; policy accept;`
fn chain() -> [Vec<u8>; 4] {
    let priority = attribute(NFTA_HOOK_PRIORITY, &PRIORITY.to_be_bytes());
    [
        text(NFTA_CHAIN_NAME, CHAIN),
        nested(NFTA_CHAIN_HOOK, &[number(NFTA_HOOK_HOOKNUM, NF_INET_FORWARD), priority]),
        number(NFTA_CHAIN_POLICY, NF_ACCEPT),
        text(NFTA_CHAIN_TYPE, "filter"),
    ]
}

struct Expression {
    name: &'static str,
    attributes: Vec<Vec<u8>>,
}

impl Expression {
    fn to_bytes(&self) -> Vec<u8> {
        nested(NFTA_LIST_ELEM, &[text(NFTA_EXPR_NAME, self.name), nested(NFTA_EXPR_DATA, &self.attributes)])
    }
}

/// `tcp flags syn / syn,rst tcp option maxseg size set rt mtu`: the comment behind each is how nft shows it.
fn expressions() -> [Expression; 8] {
    const IPPROTO_TCP: u8 = 6;
    const SYN: u8 = 0x02;
    const SYN_OR_RST: u8 = 0x06;
    let expression = |name, attributes: &[Vec<u8>]| Expression { name, attributes: attributes.to_vec() };
    let value = |kind, byte: u8| nested(kind, &[attribute(NFTA_DATA_VALUE, &[byte])]);
    // NFTA_CMP_SREG, NFTA_CMP_OP (NFT_CMP_EQ), NFTA_CMP_DATA
    let equals = |byte| expression("cmp", &[number(1, NFT_REG_1), number(2, 0), value(3, byte)]);
    [
        // [ meta load l4proto => reg 1 ]: NFTA_META_DREG, NFTA_META_KEY (NFT_META_L4PROTO)
        expression("meta", &[number(1, NFT_REG_1), number(2, 16)]),
        // [ cmp eq reg 1 0x00000006 ]
        equals(IPPROTO_TCP),
        // [ payload load 1b @ transport header + 13 => reg 1 ]: NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN
        expression("payload", &[number(1, NFT_REG_1), number(2, 2), number(3, 13), number(4, 1)]),
        // [ bitwise reg 1 = ( reg 1 & 0x00000006 ) ^ 0x00000000 ]: NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR
        expression(
            "bitwise",
            &[number(1, NFT_REG_1), number(2, NFT_REG_1), number(3, 1), value(4, SYN_OR_RST), value(5, 0)],
        ),
        // [ cmp eq reg 1 0x00000002 ]
        equals(SYN),
        // [ rt load tcpmss => reg 1 ]: NFTA_RT_DREG, NFTA_RT_KEY (NFT_RT_TCPMSS)
        expression("rt", &[number(1, NFT_REG_1), number(2, 3)]),
        // [ byteorder reg 1 = hton(reg 1, 2, 2) ]: NFTA_BYTEORDER_SREG, _DREG, _OP (NFT_BYTEORDER_HTON), _LEN, _SIZE
        expression(
            "byteorder",
            &[number(1, NFT_REG_1), number(2, NFT_REG_1), number(3, 1), number(4, 2), number(5, 2)],
        ),
        // [ exthdr write tcpopt reg 1 => 2b @ 2 + 2 ]: NFTA_EXTHDR_TYPE (maxseg), _OFFSET, _LEN, _OP (tcpopt), _SREG
        expression(
            "exthdr",
            &[attribute(2, &[2]), number(3, 2), number(4, 2), number(6, 1), number(7, NFT_REG_1)],
        ),
    ]
}

/// Keeps the attributes of what is in our table: a kernel that does not filter a dump by it sends all tables'.
fn keep(answer: &[u8], table: u16, kept: &mut Vec<Vec<u8>>) -> Result<(), DecodeError> {
    let attributes = answer.get(FAMILY_BYTES..).unwrap_or_default();
    if says(attributes, &[text(table, TABLE)])? {
        kept.push(attributes.to_vec());
    }
    Ok(())
}

/// Whether a change of a table, a chain or a rule is of the table: each names it first.
pub(super) fn is_about(attributes: &[u8]) -> bool {
    says(attributes, &[text(NFTA_TABLE_NAME, TABLE)]).unwrap_or(true)
}

/// Whether the rule does what ours does.
fn is_clamp(rule: &[u8]) -> Result<bool, DecodeError> {
    let Some(list) = value(rule, NFTA_RULE_EXPRESSIONS)? else { return Ok(false) };
    let found: Vec<_> = NlasIterator::new(list).collect::<Result<_, _>>()?;
    let wanted = expressions();
    if found.len() != wanted.len() {
        return Ok(false);
    }
    for (found, wanted) in found.iter().zip(&wanted) {
        let name = value(found.value(), NFTA_EXPR_NAME)?.map(parse_string).transpose()?;
        let data = value(found.value(), NFTA_EXPR_DATA)?.unwrap_or_default();
        if name.as_deref() != Some(wanted.name) || !says(data, &wanted.attributes)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether each of the `wanted` attributes is there with the same value; the kernel adds others.
fn says(attributes: &[u8], wanted: &[Vec<u8>]) -> Result<bool, DecodeError> {
    for wanted in wanted {
        let wanted = NlaBuffer::new_checked(wanted.as_slice())?;
        let found = value(attributes, wanted.kind())?;
        if found != Some(wanted.value()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn value(attributes: &[u8], kind: u16) -> Result<Option<&[u8]>, DecodeError> {
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        if attribute.kind() == kind {
            let end = NLA_HEADER_SIZE + attribute.value_length();
            return Ok(attribute.into_inner().get(NLA_HEADER_SIZE..end));
        }
    }
    Ok(None)
}

fn is_not_found(failure: &Failure) -> bool {
    match failure {
        Failure::Refused { source, .. } => Errno::from_io_error(source) == Some(Errno::NOENT),
        Failure::Open(_) | Failure::Exchange(_) | Failure::Malformed(_) => false,
    }
}

/// A kernel that lacks netfilter has no such socket; one that lacks nftables refuses the batch as a whole, and does not
/// know a request to read (`EINVAL`); one that lacks a part of it does not find what a message names.
fn meaning(attempt: &'static str, failure: Failure) -> ClampError {
    let unknown = if attempt == READ { Errno::INVAL } else { Errno::NOENT };
    let lacking = |source: &io::Error, errnos: &[Errno]| {
        Errno::from_io_error(source).is_some_and(|errno| errnos.contains(&errno))
    };
    match failure {
        Failure::Open(source) if lacking(&source, &[Errno::PROTONOSUPPORT, Errno::AFNOSUPPORT]) => {
            ClampError::Unsupported { attempt, source }
        }
        Failure::Open(source) | Failure::Exchange(source) => ClampError::Exchange { attempt, source },
        Failure::Malformed(source) => ClampError::Malformed { attempt, source },
        Failure::Refused { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            ClampError::Permission { attempt, source }
        }
        Failure::Refused { message: None, source } if lacking(&source, &[Errno::OPNOTSUPP]) => {
            ClampError::Unsupported { attempt, source }
        }
        Failure::Refused { message: Some(_), source }
            if lacking(&source, &[unknown, Errno::OPNOTSUPP, Errno::AFNOSUPPORT]) =>
        {
            ClampError::Unsupported { attempt, source }
        }
        Failure::Refused { message: _, source } => ClampError::Refused { attempt, source },
    }
}

#[cfg(test)]
mod tests;
