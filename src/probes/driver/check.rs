//! Two packets that tell whether a known path MTU still holds.

use std::time::Duration;

use super::{ProbeError, Prober, clock};
use crate::domain::mtu::IpFamily;
use crate::domain::search::confirm::{Confirm, Due, Pair};
use crate::domain::search::{ProbeId, Transmit, control_size};
use crate::probes::driver::line::Line;
use crate::probes::ledger::Event;

/// Where nothing was sent yet. Neighbours are asked for their addresses again after a second if the first question is
/// lost, as on a link that has just come up: a packet that waits for one is answered later than that.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(1500);

/// What a check says of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// A packet of its size was answered: it holds.
    Holds,
    /// It is narrower, or may be: search again.
    InDoubt,
    /// Nothing was answered, not even the small packet: that is no size.
    Silent,
}

impl Prober {
    /// Checks whether packets as large as the way out lets leave get there, of which nothing is known yet.
    pub async fn check_full(self) -> Result<Checked, ProbeError> {
        let (now, control) = (clock(), control_size(IpFamily::of(self.destination)));
        let confirm = Confirm::new(self.config.max, control, true, Some(FIRST_ROUND_TRIP), now);
        let mut confirm = confirm.every(Duration::ZERO, now);
        match confirm.poll(now) {
            Due::Check(pair) => self.check(pair, &mut confirm).await,
            Due::Search | Due::Nothing { .. } => unreachable!("a check that is due at once is due now"),
        }
    }

    /// Sends the two packets of a check that `confirm` just said is due, again if it says so again, and tells it what
    /// came back.
    pub async fn check(self, pair: Pair, confirm: &mut Confirm) -> Result<Checked, ProbeError> {
        let mut line = Line::new(self.socket, self.destination, self.egress)?;
        let mut sent = 0;
        let mut due = Due::Check(pair);
        loop {
            match due {
                Due::Search => return Ok(Checked::InDoubt),
                Due::Check(pair) => {
                    send(&mut line, pair, sent, confirm).await?;
                    sent += 2;
                }
                Due::Nothing { .. } if !confirm.is_checking() => return Ok(Checked::Silent),
                Due::Nothing { until } => match line.next(Some(until)).await? {
                    Some(Event::Ack { id }) if is_full(id) => {
                        confirm.handle_full();
                        return Ok(Checked::Holds);
                    }
                    Some(Event::Ack { id: _ }) => confirm.handle_control(),
                    Some(Event::Ptb { mtu, .. }) => confirm.handle_ptb(mtu),
                    Some(Event::TimeExceeded { .. } | Event::Unreachable { .. }) | None => {}
                },
            }
            due = confirm.poll(clock());
        }
    }
}

/// Sends `pair`, after `sent` packets before.
async fn send(line: &mut Line, pair: Pair, sent: u16, confirm: &mut Confirm) -> Result<(), ProbeError> {
    for (id, size) in [(ProbeId(sent), pair.full), (ProbeId(sent + 1), pair.control)] {
        let limit = line.send(&Transmit { id, size, hop_limit: None }).await?;
        // Our own link has become narrower than the path was.
        if limit.is_some_and(|limit| is_full(limit.id)) {
            confirm.handle_ptb(0);
        }
    }
    Ok(())
}

/// Whether that probe is the larger one of its pair.
fn is_full(id: ProbeId) -> bool {
    id.0.is_multiple_of(2)
}
