package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Policy says where webhooks may go.
type Policy struct {
	// Ports that may be called. Default: 443.
	Ports []int
	// Loopback also allows addresses of this machine, by http too and on every port: for trying things out.
	Loopback bool
}

func (p Policy) ports() []int {
	if len(p.Ports) == 0 {
		return []int{443}
	}
	return p.Ports
}

// ErrForbidden reports that webhooks may not be sent to an address.
var ErrForbidden = errors.New("webhooks may not go there")

// Reserved networks. Sources: the IANA special-purpose address registries for IPv4 and IPv6.
var (
	reserved4 = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")
	// Of IPv6 only the global unicast space is allowed, without these.
	global6   = netip.MustParsePrefix("2000::/3")
	reserved6 = prefixes("2001::/23", "2001:db8::/32", "3fff::/20")
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// CheckAddress refuses every address that is not a public one. It judges an IPv6 address that leads to an IPv4 address by that
// one. Errors wrap ErrForbidden.
func (p Policy) CheckAddress(at netip.AddrPort) error {
	ip := at.Addr()
	if ip.Zone() != "" {
		return fmt.Errorf("%s has a zone: %w", ip, ErrForbidden)
	}
	ip = ip.Unmap() // ::ffff:10.0.0.1 is 10.0.0.1
	if p.Loopback && ip.IsLoopback() {
		return nil
	}
	switch {
	case !isPublic(ip):
		return fmt.Errorf("%s is not a public address: %w", ip, ErrForbidden)
	case !slices.Contains(p.ports(), int(at.Port())):
		return fmt.Errorf("port %d is not one of %v: %w", at.Port(), p.ports(), ErrForbidden)
	}
	return nil
}

func isPublic(ip netip.Addr) bool {
	within := func(prefix netip.Prefix) bool { return prefix.Contains(ip) }
	if ip.Is4() {
		return !slices.ContainsFunc(reserved4, within)
	}
	if inside, carries := carried4(ip); carries {
		return len(inside) > 0 && !slices.ContainsFunc(inside, func(ip netip.Addr) bool { return !isPublic(ip) })
	}
	return global6.Contains(ip) && !slices.ContainsFunc(reserved6, within) // an invalid address is in no prefix
}

// Networks whose addresses lead to the IPv4 address that they carry. Sources: RFC 6052 and RFC 8215 (NAT64), RFC 3056, RFC 4380.
var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	teredo     = netip.MustParsePrefix("2001::/32")
)

// carried4 returns the IPv4 addresses that an IPv6 address may lead to, and whether it is one of those that do.
func carried4(ip netip.Addr) (inside []netip.Addr, carries bool) {
	if !ip.Is6() {
		return nil, false
	}
	b := ip.As16()
	switch {
	case nat64.Contains(ip):
		return []netip.Addr{netip.AddrFrom4([4]byte(b[12:]))}, true
	case sixToFour.Contains(ip):
		return []netip.Addr{netip.AddrFrom4([4]byte(b[2:]))}, true
	case teredo.Contains(ip): // the server, and the client in inverted bits
		return []netip.Addr{netip.AddrFrom4([4]byte(b[4:])), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})}, true
	case localNAT64.Contains(ip):
		// Only its network knows how long its prefix is: 96, 64, 56 or 48 bits. Where the address would be one of 0.0.0.0/8, which
		// leads nowhere, it is another length.
		for _, at := range [][4]int{{12, 13, 14, 15}, {9, 10, 11, 12}, {7, 9, 10, 11}, {6, 7, 9, 10}} {
			if b[at[0]] != 0 {
				inside = append(inside, netip.AddrFrom4([4]byte{b[at[0]], b[at[1]], b[at[2]], b[at[3]]}))
			}
		}
		return inside, true
	}
	return nil, false
}

// Times of an attempt.
const (
	attemptTimeout = 15 * time.Second
	dialTimeout    = 5 * time.Second
)

// control refuses a connection at the last moment: address is what will really be called, after every resolution of names.
func (p Policy) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%s %s: %w", network, address, ErrForbidden)
	}
	return p.CheckAddress(at)
}

// Client returns an HTTP client that connects only to public addresses, follows no redirects and uses no proxy, because a proxy would
// resolve names itself.
func (p Policy) Client() *http.Client { return p.client(nil) }

func (p Policy) client(resolver *net.Resolver) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, ControlContext: p.control, Resolver: resolver}
	return &http.Client{
		Timeout:       attemptTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    dialTimeout,
			ResponseHeaderTimeout:  attemptTimeout,
			MaxResponseHeaderBytes: 16 << 10,
			DisableKeepAlives:      true, // every attempt checks the address that the name resolves to at that time
		},
	}
}
