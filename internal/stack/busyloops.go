package stack

import "fmt"

// StartBusyLoops starts programs that take all the processor time that they can get,
// at the usual priority, each in a session of its own as somebody else's work is. They
// end with the folder.
func (f *Folder) StartBusyLoops(n int) (loops []*Process, err error) {
	for i := range n {
		p, err := f.start(command{name: fmt.Sprintf("busy-loop-%d", i+1), path: "/bin/sh", args: []string{"-c", "while :; do :; done"}, dir: f.dir, session: true})
		if err != nil {
			return nil, err
		}
		loops = append(loops, p)
	}
	return loops, nil
}
