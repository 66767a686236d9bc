package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"quartermaster/dev/stack"
)

// clockTick is the unit of CPU times in /proc. Linux uses 100 a second on every platform that Go supports.
const clockTick = 10 * time.Millisecond

// cpu is the CPU time that each part of the product has used, by name.
type cpu map[string]time.Duration

// partBare is the worker of Bare8, partBench the benchmark itself with the simulated AWS.
const (
	partBare  = "bare worker"
	partBench = "simulator and load"
)

// productParts are the parts whose CPU time counts for an order, in the order in which they are printed.
var productParts = []string{stack.PartTemporal, stack.PartWorker, stack.PartAPI, stack.PartPostgres, partBare}

// sum returns the CPU time of the product.
func (c cpu) sum() (total time.Duration) {
	for _, part := range productParts {
		total += c[part]
	}
	return total
}

func (c cpu) minus(before cpu) cpu {
	used := cpu{}
	for part, t := range c {
		used[part] = t - before[part]
	}
	return used
}

func (c cpu) plus(more cpu) cpu {
	sum := cpu{}
	for _, one := range []cpu{c, more} {
		for part, t := range one {
			sum[part] += t
		}
	}
	return sum
}

// perUnit prints the CPU time of each part, in milliseconds, divided by n.
func (c cpu) perUnit(n int) string {
	var out []string
	for _, part := range append(productParts[:len(productParts):len(productParts)], partBench) {
		if ms := milliseconds(c[part]) / float64(n); ms >= 0.05 {
			out = append(out, fmt.Sprintf("%s %.1f", part, ms))
		}
	}
	return strings.Join(out, ", ")
}

// cpuNow reads the CPU times of all processes.
func (s *servers) cpuNow() (cpu, error) {
	now := cpu{}
	for _, part := range []string{stack.PartTemporal, stack.PartWorker, stack.PartAPI, stack.PartPostgres} {
		for _, pid := range s.PIDs(part) {
			used, err := processCPU(pid, part == stack.PartPostgres)
			if err != nil {
				return nil, err
			}
			now[part] += used
		}
	}
	for part, pid := range map[string]int{partBare: s.bare.PID(), partBench: os.Getpid()} {
		used, err := processCPU(pid, false)
		if err != nil {
			return nil, err
		}
		now[part] = used
	}
	return now, nil
}

// processCPU returns the CPU time of a process, and with it that of its children, those included that have ended.
func processCPU(pid int, children bool) (time.Duration, error) {
	own, ended, err := stat(pid)
	if err != nil || !children {
		return own, err
	}
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	total := own + ended
	for _, field := range bytes.Fields(list) {
		child, err := strconv.Atoi(string(field))
		if err != nil {
			return 0, err
		}
		if own, ended, err := stat(child); err == nil { // else it has just ended, and the next reading of the parent has it
			total += own + ended
		}
	}
	return total, nil
}

// stat reads the CPU time of a process and of its children that have ended.
func stat(pid int) (own, ended time.Duration, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("CPU time of process %d: %w: the benchmark needs Linux", pid, err)
	}
	// The name of the program is in parentheses and may contain anything; 11 fields follow before utime, stime, cutime and cstime.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var times [4]time.Duration
	for i := range times {
		ticks, err := strconv.ParseInt(fields[11+i], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		times[i] = time.Duration(ticks) * clockTick
	}
	return times[0] + times[1], times[2] + times[3], nil
}

// residentMemory returns the resident memory of a process in MiB.
func residentMemory(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20), err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
