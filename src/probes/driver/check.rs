//! Two packets that tell whether a known path MTU still holds.

use super::{ProbeError, Prober, clock};
use crate::domain::search::confirm::{Confirm, Due, Pair};
use crate::domain::search::{ProbeId, Transmit};
use crate::probes::driver::line::Line;
use crate::probes::ledger::Event;

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

const FULL: ProbeId = ProbeId(0);
const CONTROL: ProbeId = ProbeId(1);

impl Prober {
    /// Sends the two packets of a check that `confirm` just said is due, and tells it what came back.
    pub async fn check(self, pair: Pair, confirm: &mut Confirm) -> Result<Checked, ProbeError> {
        let mut line = Line::new(self.socket, self.destination, self.egress)?;
        for (id, size) in [(FULL, pair.full), (CONTROL, pair.control)] {
            let limit = line.send(&Transmit { id, size, hop_limit: None }).await?;
            // Our own link has become narrower than the path was.
            if limit.is_some_and(|limit| limit.id == FULL) {
                confirm.handle_ptb(0);
            }
        }
        while let Due::Nothing { until } = confirm.poll(clock()) {
            match line.next(Some(until)).await? {
                Some(Event::Ack { id: FULL }) => {
                    confirm.handle_full();
                    return Ok(Checked::Holds);
                }
                Some(Event::Ack { id: _ }) => confirm.handle_control(),
                Some(Event::Ptb { mtu, .. }) => confirm.handle_ptb(mtu),
                Some(Event::TimeExceeded { .. } | Event::Unreachable { .. }) => {}
                None if confirm.poll(clock()) == Due::Search => return Ok(Checked::InDoubt),
                None => return Ok(Checked::Silent),
            }
        }
        Ok(Checked::InDoubt)
    }
}
