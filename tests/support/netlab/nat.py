"""Home routers: the nft rules of the kinds of NAT that are met in the world."""

from .errors import NetlabError

# Names after RFC 4787. `fullcone` and `hairpin` send what comes in to the first client.
_MASQUERADE = {"symmetric": "masquerade random", "symmetric-full": "masquerade fully-random"}
KINDS = ("eim", "symmetric", "symmetric-full", "fullcone", "udp-blocked")


def rules(kind, first_client=None):
    """eim: one outside port for one inside port, whoever is called, open only to who was called (most homes)."""
    if kind not in KINDS:
        raise NetlabError(f"there is no NAT of kind '{kind}'; there are: {', '.join(KINDS)}")
    inbound, forward = "", "iifname lan accept"
    if kind == "fullcone" and first_client:
        inbound = f"iifname eth0 udp dport 1024-65535 dnat ip to {first_client}"
        forward = "iifname lan accept; ct status dnat accept"
    if kind == "udp-blocked":
        forward = "udp dport != 53 drop; iifname lan accept"
    return f"""
flush ruleset
table inet home {{
  chain inbound {{ type nat hook prerouting priority dstnat; {inbound}
  }}
  chain outbound {{ type nat hook postrouting priority srcnat; meta nfproto ipv4 oifname eth0 {_MASQUERADE.get(kind, "masquerade")}
  }}
  chain input {{ type filter hook input priority filter; policy accept
    iifname eth0 ct state established,related accept
    iifname eth0 meta l4proto ipv6-icmp accept
    iifname eth0 drop
  }}
  chain forward {{ type filter hook forward priority filter; policy drop
    ct state established,related accept
    {forward}
  }}
}}
"""
