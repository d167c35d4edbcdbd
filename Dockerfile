# A static binary and nothing else. `.ci/run image` builds the binary and, with a local dockerd, this image.
FROM scratch
COPY mtu-agent /mtu-agent
# Capabilities are what counts, not the user: run it with all dropped but NET_ADMIN, NET_RAW and NET_BROADCAST.
USER 0:0
ENTRYPOINT ["/mtu-agent"]
CMD ["agent", "--standalone"]
