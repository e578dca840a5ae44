# Stand-in of debian:bookworm-slim: a root file system that mmdebstrap made from the host's apt sources.
FROM scratch
ADD rootfs.tar /
CMD ["bash"]
