package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/labstack/echo/v4"
)

// clientAddress returns the address of the client: the peer's, unless the peer is a trusted proxy. Then it is the rightmost
// address of X-Forwarded-For that is not a trusted proxy's, because each proxy appends the address of its own peer, and anything
// to the left of that may be the client's invention. If a trusted proxy wrote no address there, such as "unknown", then the
// proxy's own address counts.
//
// Echo's own extractor gives up on entries with a port or a zone, and then all clients of a proxy share its address. The header
// Forwarded (RFC 7239) is not read: a proxy that writes one of the two headers passes the other one on as the client sent it.
func clientAddress(trusted []netip.Prefix) echo.IPExtractor {
	trusts := func(address netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(network netip.Prefix) bool { return network.Contains(address) })
	}
	return func(r *http.Request) string {
		client, ok := parseAddress(r.RemoteAddr)
		if !ok {
			return ""
		}
		entries := strings.FieldsFunc(strings.Join(r.Header.Values(echo.HeaderXForwardedFor), ","), func(c rune) bool {
			return c == ',' || unicode.IsSpace(c)
		})
		for _, entry := range slices.Backward(entries) {
			next, ok := parseAddress(entry)
			if !ok || !trusts(client) {
				break
			}
			client = next
		}
		return client.String()
	}
}

// parseAddress reads an address as proxies write it: 192.0.2.1, 192.0.2.1:4711, 2001:db8::1, [2001:db8::1], [2001:db8::1]:4711,
// with a zone, in quotes, or an IPv4 address that is mapped to IPv6.
func parseAddress(text string) (address netip.Addr, ok bool) {
	text = strings.Trim(text, `"`)
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		address = withPort.Addr()
	} else if address, err = netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")); err != nil {
		return address, false
	}
	return address.Unmap().WithZone(""), true
}

// nat64 is the prefix under which NAT64 gateways write IPv4 addresses. Source: RFC 6052.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// networkOf returns what counts as one client: an IPv4 address, or an IPv6 /64, because a client chooses its address in that
// freely.
func networkOf(ip string) string {
	address, ok := parseAddress(ip)
	if !ok {
		return ip
	}
	if nat64.Contains(address) {
		bytes := address.As16()
		address = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	if address.Is4() {
		return address.String()
	}
	return netip.PrefixFrom(address, 64).Masked().String()
}
