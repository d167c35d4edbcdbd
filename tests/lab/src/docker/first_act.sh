# The first act of a container: a packet as large as any, one that fits, and then a download.
# $1: 4 or 6, $2: whom to ping, not the server: what is learned of the way to it would help the download.
# $3: the header of an echo request in bytes, $4: what fits, $5: the URL.
export LC_ALL=C
ping "-$1" -n -M do -c 1 -W 1 -s $((1500 - $3)) "$2"
echo "of 1500: $?"
ping "-$1" -n -M do -c 1 -W 10 -s $(($4 - $3)) "$2"
echo "of what fits: $?"
curl -sS --connect-timeout 10 --speed-limit 1 --speed-time 3 --output /dev/null --write-out 'bytes: %{size_download}\n' "$5"
echo "download: $?"
