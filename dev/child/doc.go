// Package child runs other programs that must never outlive this process. dev/temporal and dev/stack start their servers with it.
package child
