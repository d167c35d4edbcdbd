//! Two packets that tell whether a known path MTU still holds.

use super::{ProbeError, Prober, clock};
use crate::domain::search::confirm::{Confirm, Due, Pair};
use crate::domain::search::{ProbeId, Transmit};
use crate::probes::driver::line::Line;
use crate::probes::ledger::Event;

/// What a check has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Something came back: `Confirm` knows what it means.
    Answered,
    /// Nothing came back, not even for the small packet.
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
        let mut checked = Checked::Silent;
        while let Due::Nothing { until } = confirm.poll(clock()) {
            match line.next(Some(until)).await? {
                Some(Event::Ack { id }) => {
                    checked = Checked::Answered;
                    if id == FULL {
                        confirm.handle_full();
                        break;
                    }
                    confirm.handle_control();
                }
                Some(Event::Ptb { mtu, .. }) => {
                    checked = Checked::Answered;
                    confirm.handle_ptb(mtu);
                    break;
                }
                Some(Event::TimeExceeded { .. } | Event::Unreachable { .. }) => {}
                None => break,
            }
        }
        Ok(checked)
    }
}
