"""Bridge, veth, addresses, NAT and ports: plans as values, then thin loops over netlink."""
