"""Detection of network file systems, on which SQLite's locks and write-ahead log fail silently."""

from __future__ import annotations

from pathlib import Path

from gwbatch.errors import NetworkFileSystem

NETWORK_TYPES = frozenset(
    [
        "9p",
        "afs",
        "afpfs",
        "beegfs",
        "ceph",
        "cephfs",
        "cifs",
        "fhgfs",
        "fuse.ceph",
        "fuse.cvmfs2",
        "fuse.glusterfs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs3",
        "nfs4",
        "ocfs2",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "wekafs",
    ]
)


def filesystem_type(path: Path) -> str:
    """Return the type of the file system that holds `path`, as the kernel names it."""
    path = path.resolve()
    best, kind = Path("/"), ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, mount, mount_type, *_ = line.split()
        point = Path(mount.encode().decode("unicode_escape"))
        if path.is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, kind = point, mount_type
    return kind


def refuse_network_filesystem(directory: Path) -> None:
    """Raise `NetworkFileSystem` when `directory` is, or would be created, on a network file system."""
    kind = filesystem_type(directory)
    if kind in NETWORK_TYPES:
        raise NetworkFileSystem(
            f"The state directory {directory} is on a network file system ({kind}), where SQLite's locks cannot be "
            "trusted and alerts could be lost. Choose a directory on the submit node's local disk, for example "
            "--state /var/lib/gwbatch or --state $TMPDIR/gwbatch."
        )
