//! Which file systems do not end at this machine: their bytes may lie on any host, in any country.

use rustix::fs::StatFs;

/// File system type numbers: `linux/magic.h`, the manual page `statfs(2)`, and the sources of those that are in neither.
const NETWORK: [(u32, &str); 20] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "kAFS"),
    (0x00c3_6400, "CephFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x2003_0528, "OrangeFS"),
    (0xaad7_aaea, "PanFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x786f_4256, "VirtualBox shared folder"),
    (0xbacb_acbc, "VMware shared folder"),
];

/// The name of the network (or FUSE, behind which anything may be) file system this is, if it is one.
pub(super) fn name_of(stat: StatFs) -> Option<&'static str> {
    // The numbers have 32 bits; the field's width and sign differ between machines.
    name_of_type(stat.f_type as u32)
}

fn name_of_type(number: u32) -> Option<&'static str> {
    NETWORK.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_apart() {
        assert_eq!(name_of_type(0x6969), Some("NFS"));
        // As a signed 64-bit field holds it.
        assert_eq!(name_of_type(i64::from(0xff53_4d42_u32.cast_signed()) as u32), Some("CIFS"));
        for (name, number) in [("ext4", 0xef53), ("xfs", 0x5846_5342), ("btrfs", 0x9123_683e), ("tmpfs", 0x0102_1994)] {
            assert_eq!(name_of_type(number), None, "{name}");
        }
        let numbers: std::collections::BTreeSet<u32> = NETWORK.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers.len(), NETWORK.len(), "a number twice");
    }
}
