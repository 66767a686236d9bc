package main

import (
	"fmt"
	"net/netip"
)

// proxyOptions name the proxies in front of the API.
type proxyOptions struct {
	TrustedProxies []network `help:"Addresses and networks of the proxies in front of the API, such as 10.0.0.0/8. Only what they write to X-Forwarded-For is believed. Unset: no proxy." env:"QM_TRUSTED_PROXIES" placeholder:"NETWORK"`
}

// networks returns the networks of the proxies.
func (o proxyOptions) networks() []netip.Prefix {
	networks := make([]netip.Prefix, len(o.TrustedProxies))
	for i, n := range o.TrustedProxies {
		networks[i] = netip.Prefix(n)
	}
	return networks
}

// network is an option that holds an address or a network.
type network netip.Prefix

// UnmarshalText refuses what is no address and no network, and a network that contains every client.
func (n *network) UnmarshalText(text []byte) error {
	parsed, err := parseNetwork(string(text))
	*n = network(parsed)
	return err
}

// parseNetwork reads an address or a network.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return network, fmt.Errorf("%q is neither an address nor a network: write it as 10.0.0.7, 10.0.0.0/8 or fd00::/8", text)
	case network.Addr().Is4In6():
		return network, fmt.Errorf("%s is an IPv4 network: write it as one, such as 10.0.0.0/8", text)
	case network.Bits() == 0:
		return network, fmt.Errorf("%s contains every address, so every client could choose its own: name the networks of the proxies", text)
	case network != network.Masked():
		return network, fmt.Errorf("%s has bits beyond its length: write %s, or the address alone", text, network.Masked())
	}
	return network, nil
}
