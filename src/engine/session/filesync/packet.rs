//! The packets of a file transfer, written as the gRPC messages that carry them.
//!
//! A transfer of many files is little more than its packets, so they are written by hand into a
//! buffer that goes to the connection as it is: no message object, string or map for each file.
//! The fields are those of `fsutil.types.Packet` and `fsutil.types.Stat`.
use super::walk::Entry;

/// Bytes before a data packet's content: gRPC's flag and length (5), the packet's type (2), the
/// file's number (1 + 5) and the content's length (1 + 4).
///
/// Number and length are written with as many bytes as they could ever need, so that the content
/// can be read from the file to its final place before its length is known.
pub(super) const DATA_HEADER: usize = 18;
/// Bytes of the packet that ends a file.
pub(super) const END_OF_FILE: usize = 13;

const GRPC_PREFIX: usize = 5;
const VARINT: u8 = 0;
const BYTES: u8 = 2;

const PACKET_REQUEST: u8 = 1;
const PACKET_DATA: u8 = 2;
const PACKET_FIN: u8 = 3;
const PACKET_ERROR: u8 = 4;

/// Appends the announcement of a file.
pub(super) fn stat(out: &mut Vec<u8>, entry: &Entry<'_>, scratch: &mut Vec<u8>) {
    scratch.clear();
    let stat = &entry.stat;
    field_bytes(scratch, 1, entry.path);
    field_number(scratch, 2, u64::from(stat.mode));
    // Owner and group stay zero, as they are in every context that a client sends.
    field_number(scratch, 5, stat.size);
    field_number(scratch, 6, stat.modified.cast_unsigned());
    field_bytes(scratch, 7, entry.link);
    field_number(scratch, 8, u64::from(stat.device_major));
    field_number(scratch, 9, u64::from(stat.device_minor));
    for (name, value) in entry.xattrs {
        let pair = 2 + varint_len(name.len()) + name.len() + varint_len(value.len()) + value.len();
        key(scratch, 10, BYTES);
        varint(scratch, pair as u64);
        key(scratch, 1, BYTES);
        varint(scratch, name.len() as u64);
        scratch.extend_from_slice(name);
        key(scratch, 2, BYTES);
        varint(scratch, value.len() as u64);
        scratch.extend_from_slice(value);
    }
    message(out, |out| {
        key(out, 2, BYTES);
        varint(out, scratch.len() as u64);
        out.extend_from_slice(scratch);
    });
}

/// Appends the packet that ends the announcements: one without a stat.
pub(super) fn end_of_stats(out: &mut Vec<u8>) {
    message(out, |_| {});
}

/// Appends the packet that ends the transfer.
pub(crate) fn fin(out: &mut Vec<u8>) {
    message(out, |out| field_number(out, 1, u64::from(PACKET_FIN)));
}

/// Appends the packet that asks for the file of announcement `id`.
pub(crate) fn request(out: &mut Vec<u8>, id: u32) {
    message(out, |out| {
        field_number(out, 1, u64::from(PACKET_REQUEST));
        field_number(out, 3, u64::from(id));
    });
}

/// Appends the packet that tells the daemon of a failure.
pub(crate) fn error(out: &mut Vec<u8>, text: &str) {
    message(out, |out| {
        field_number(out, 1, u64::from(PACKET_ERROR));
        field_bytes(out, 4, text.as_bytes());
    });
}

/// Writes the header of a data packet whose `length` bytes of content follow it.
pub(super) fn data_header(header: &mut [u8; DATA_HEADER], id: u32, length: u32) {
    header[0] = 0;
    let size = length + (DATA_HEADER - GRPC_PREFIX) as u32;
    header[1..5].copy_from_slice(&size.to_be_bytes());
    header[5..7].copy_from_slice(&[1 << 3 | VARINT, PACKET_DATA]);
    header[7] = 3 << 3 | VARINT;
    padded_varint(&mut header[8..13], id);
    header[13] = 4 << 3 | BYTES;
    padded_varint(&mut header[14..18], length);
}

/// Appends the packet that ends file `id`: data without content.
pub(super) fn end_of_file(out: &mut Vec<u8>, id: u32) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, (END_OF_FILE - GRPC_PREFIX) as u8]);
    out.extend_from_slice(&[1 << 3 | VARINT, PACKET_DATA, 3 << 3 | VARINT, 0, 0, 0, 0, 0]);
    padded_varint(&mut out[start + 8..], id);
}

/// Appends one gRPC message around what `write` appends.
fn message(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; GRPC_PREFIX]);
    write(out);
    let size = u32::try_from(out.len() - start - GRPC_PREFIX).unwrap_or(u32::MAX);
    out[start + 1..start + GRPC_PREFIX].copy_from_slice(&size.to_be_bytes());
}

fn key(out: &mut Vec<u8>, number: u8, kind: u8) {
    out.push(number << 3 | kind);
}

/// Appends a number, unless it is the default that readers assume.
fn field_number(out: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        key(out, number, VARINT);
        varint(out, value);
    }
}

fn field_bytes(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    if !value.is_empty() {
        key(out, number, BYTES);
        varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

const fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Fills all of `out`; readers accept varints that are longer than they need to be.
fn padded_varint(out: &mut [u8], mut value: u32) {
    let last = out.len() - 1;
    for byte in &mut out[..last] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    out[last] = value as u8 & 0x7f;
}

#[cfg(test)]
mod tests {
    use buildkit_rs_proto::fsutil::types::Packet;
    use buildkit_rs_proto::fsutil::types::packet::PacketType;
    use prost::Message as _;

    use super::super::walk::Stat;
    use super::*;

    fn packets(mut bytes: &[u8]) -> Vec<Packet> {
        let mut packets = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(bytes[0], 0);
            let size = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
            packets.push(Packet::decode(&bytes[5..5 + size]).unwrap());
            bytes = &bytes[5 + size..];
        }
        packets
    }

    #[test]
    fn an_announcement_is_read_back_by_prost() {
        let entry = Entry {
            path: b"a/b",
            link: b"target",
            stat: Stat {
                mode: 0o644 | 1 << 27,
                size: 1 << 40,
                modified: -1,
                device_major: 8,
                device_minor: 300,
                ..Stat::default()
            },
            xattrs: &[(b"user.x".to_vec(), vec![0; 200]), (b"user.y".to_vec(), Vec::new())],
        };
        let mut out = Vec::new();
        stat(&mut out, &entry, &mut Vec::new());
        end_of_stats(&mut out);
        let read = packets(&out);
        let sent = read[0].stat.as_ref().unwrap();
        assert_eq!((sent.path.as_str(), sent.linkname.as_str()), ("a/b", "target"));
        assert_eq!((sent.mode, sent.size, sent.mod_time), (0o644 | 1 << 27, 1 << 40, -1));
        assert_eq!((sent.devmajor, sent.devminor, sent.uid, sent.gid), (8, 300, 0, 0));
        assert_eq!(sent.xattrs["user.x"].len(), 200);
        assert!(sent.xattrs["user.y"].is_empty());
        assert_eq!(read[1], Packet::default());
    }

    #[test]
    fn content_is_read_back_by_prost() {
        for (id, length) in [(0, 0), (1, 1), (u32::MAX, 127), (300, 128), (7, 1 << 20)] {
            let mut out = vec![5; DATA_HEADER + length as usize];
            let header = out.first_chunk_mut::<DATA_HEADER>().unwrap();
            data_header(header, id, length);
            end_of_file(&mut out, id);
            let read = packets(&out);
            assert_eq!(read[0].r#type(), PacketType::PacketData);
            assert_eq!((read[0].id, read[0].data.len()), (id, length as usize));
            assert_eq!((read[1].id, read[1].data.len()), (id, 0));
            assert_eq!(read[1].r#type(), PacketType::PacketData);
        }
    }

    #[test]
    fn short_packets_are_read_back_by_prost() {
        let mut out = Vec::new();
        fin(&mut out);
        request(&mut out, 300);
        error(&mut out, "no");
        let read = packets(&out);
        assert_eq!(read[0].r#type(), PacketType::PacketFin);
        assert_eq!((read[1].r#type(), read[1].id), (PacketType::PacketReq, 300));
        assert_eq!((read[2].r#type(), &read[2].data[..]), (PacketType::PacketErr, &b"no"[..]));
    }

    #[test]
    fn the_end_of_a_file_is_as_long_as_it_says() {
        let mut out = Vec::new();
        end_of_file(&mut out, 1);
        assert_eq!(out.len(), END_OF_FILE);
    }

    #[test]
    fn lengths_of_varints_agree_with_what_is_written() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 1 << 40] {
            let mut out = Vec::new();
            varint(&mut out, value as u64);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
    }
}
