#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mtu_agent_fuzz::echo(bytes));
