# Two hosts with a router between them, each a network namespace, and what "$@" does on the first host.
# Start it with: unshare --map-root-user --net sh router.sh COMMAND. The second host is 10.0.2.2.
set -e
unshare --net sleep 60 & one=$!
unshare --net sleep 60 & two=$!
trap 'kill $one $two' EXIT
# Until the two have networks of their own, this would be done to this one.
for host in $one $two; do
    while [ "$(readlink /proc/$host/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do :; done
done
echo 1 > /proc/sys/net/ipv4/ip_forward
connect() {
    ip link add name "$2" type veth peer name eth0 netns "$1"
    ip address add "10.0.$3.1/24" dev "$2"
    ip link set "$2" up
    nsenter --target "$1" --net sh -e -c "
        ip address add 10.0.$3.2/24 dev eth0
        ip link set eth0 up
        ip route add default via 10.0.$3.1"
}
connect $one left 1
connect $two right 2
nsenter --target $one --net "$@"
