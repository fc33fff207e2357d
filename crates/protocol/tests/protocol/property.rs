//! Any bytes decode or are refused with a field named; what decodes encodes back to the same bytes.

use berth_protocol::{
    control_link::{self, Command, Report},
    terminal_frame::{AgentFrame, ClientFrame},
};
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_bytes_are_a_client_frame_or_a_named_refusal(bytes in prop::collection::vec(any::<u8>(), 0..96)) {
        match ClientFrame::decode(&bytes) {
            Ok(frame) => prop_assert_eq!(ClientFrame::decode(&frame.encode()).unwrap(), frame),
            Err(error) => prop_assert!(!error.field.is_empty()),
        }
    }

    #[test]
    fn any_bytes_are_an_agent_frame_or_a_named_refusal(kind in 0x81u8..=0x88, bytes in prop::collection::vec(any::<u8>(), 0..96)) {
        let mut frame = vec![kind];
        frame.extend(bytes);
        match AgentFrame::decode(&frame) {
            Ok(frame) => prop_assert_eq!(AgentFrame::decode(&frame.encode()).unwrap(), frame),
            Err(error) => prop_assert!(!error.field.is_empty()),
        }
    }

    #[test]
    fn any_text_is_a_control_message_or_a_named_refusal(text in ".{0,200}") {
        if let Err(error) = control_link::decode::<Command>(&text) { prop_assert_eq!(error.field, "message"); }
        if let Err(error) = control_link::decode::<Report>(&text) { prop_assert_eq!(error.field, "message"); }
    }
}

#[test]
fn refusals_name_their_field() {
    let field = |bytes: &[u8]| ClientFrame::decode(bytes).unwrap_err().field;
    assert_eq!(field(&[]), "kind");
    assert_eq!(field(&[0x02, 0, 0]), "terminal");
    assert_eq!(field(&[0x02, 0, 0, 0, 1, 0]), "offset");
    assert_eq!(field(&[0x7f, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), "kind");
    assert_eq!(field(&[0x03, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "columns");
    assert_eq!(field(&[0x03, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff]), "rows");
    assert_eq!(field(&[0x04, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "payload");
    let mut huge = ClientFrame::Input { terminal: 1, offset: 0, bytes: vec![] }.encode();
    huge.resize(berth_protocol::limits::FRAME_BYTES_MAX + 1, 0);
    assert_eq!(field(&huge), "bytes");
}
