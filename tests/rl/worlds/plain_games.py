"""The rules of our worlds written apart, in plain Python for one copy: the oracle of the worlds of many."""

from lensmith.base.hashed_random import hashed, uniform

UP_RIGHT_DOWN_LEFT = [(-1, 0), (0, 1), (1, 0), (0, -1)]


class PlainGame:
    """One copy: episodes, steps and draws by hash; a game adds `begin`, `move` -> (reward, ended) and `see`."""

    limit = 10 ** 9

    def __init__(self, seed, copy):
        self.keys, self.episode, self.moment = (seed, copy), 0, 0
        self.begin()

    def draw(self, stream):
        return float(uniform(hashed(*self.keys, self.episode, self.moment), stream)[0])

    def step(self, action):
        """-> reward, ended, truncated, what is seen last, what is seen now."""
        self.moment += 1
        reward, ended = self.move(action)
        truncated, last = not ended and self.moment >= self.limit, self.see()
        if ended or truncated:
            self.episode, self.moment = self.episode + 1, 0
            self.begin()
        return reward, ended, truncated, last, self.see()


def blank(size):
    return [[[0] * size for _ in range(size)] for _ in range(3)]


class PlainCatch(PlainGame):
    size = 10

    def begin(self):
        self.ball, self.height, self.paddle = int(self.draw(1) * self.size), 0, self.size // 2

    def move(self, action):
        self.paddle = min(max(self.paddle + [-1, 0, 1][action], 0), self.size - 1)
        self.height += 1
        if self.height < self.size - 1:
            return 0, False
        return (1 if self.ball == self.paddle else -1), True

    def see(self):
        picture = blank(self.size)
        picture[0][self.height][self.ball] = 255
        picture[2][self.size - 1][self.paddle] = 255
        return picture


class PlainSnake(PlainGame):
    size, limit = 10, 500

    def begin(self):
        middle = self.size // 2
        self.body = [(middle, middle - 2), (middle, middle - 1), (middle, middle)]    # from the tail to the head
        self.heading, self.length = 1, 3
        self.feed()

    def feed(self):
        free = [(row, column) for row in range(self.size) for column in range(self.size)
                if (row, column) not in self.body]
        if free:
            self.food = free[int(self.draw(1) * len(free))]

    def move(self, action):
        if {action, self.heading} not in ({0, 2}, {1, 3}):
            self.heading = action
        down, across = UP_RIGHT_DOWN_LEFT[self.heading]
        head = self.body[-1][0] + down, self.body[-1][1] + across
        eats = head == self.food
        rest = self.body if eats else self.body[1:]
        if not (0 <= head[0] < self.size and 0 <= head[1] < self.size) or head in rest:
            self.body = rest    # its tail has moved on and its head has not
            return -1, True
        self.body = [*rest, head]
        self.length = len(self.body)
        if eats:
            self.feed()
        return int(eats), len(self.body) == self.size ** 2

    def see(self):
        picture = blank(self.size)
        picture[0][self.food[0]][self.food[1]] = 255
        for number, (row, column) in enumerate(self.body, 1):
            picture[1][row][column] = 55 + 200 * number // self.length
        picture[2][self.body[-1][0]][self.body[-1][1]] = 255
        return picture


class PlainBricks(PlainGame):
    size, layers, limit = 10, 3, 500

    def begin(self):
        self.bricks = {(row, column) for row in range(1, 1 + self.layers) for column in range(self.size)}
        self.ball = self.before = (self.layers + 1, int(self.draw(1) * self.size))
        self.down, self.across = 1, 1 if self.draw(2) < 0.5 else -1
        self.paddle = self.size // 2

    def move(self, action):
        self.paddle = min(max(self.paddle + action - 1, 1), self.size - 2)
        row, column = self.before = self.ball
        there = column + self.across
        if there in (-1, self.size):
            there, self.across = column, -self.across
        below = row + self.down
        if below == -1:
            below, self.down = 0, 1
        if (below, there) in self.bricks:
            self.bricks.remove((below, there))
            self.ball, self.down = (row, there), -self.down
            return 1, not self.bricks
        if below == self.size - 1:
            if abs(there - self.paddle) > 1:
                self.ball = (below, there)
                return 0, True
            if there != self.paddle:
                self.across = there - self.paddle
            self.ball, self.down = (row, there), -1
            return 0, False
        self.ball = (below, there)
        return 0, False

    def see(self):
        picture = blank(self.size)
        for row, column in self.bricks:
            picture[0][row][column] = 255
        picture[1][self.before[0]][self.before[1]] = 100
        picture[1][self.ball[0]][self.ball[1]] = 255
        for column in (self.paddle - 1, self.paddle, self.paddle + 1):
            picture[2][self.size - 1][column] = 255
        return picture


def plain_maze(lines, *, slip, steps, cost=0.05, goal=1.0, trap=-1.0):
    """A maze of these lines, as a class; what is seen is the number of the cell."""

    class PlainMaze(PlainGame):
        limit = steps

        def begin(self):
            self.cell = next((row, line.index("S")) for row, line in enumerate(lines) if "S" in line)

        def move(self, action):
            if lines[self.cell[0]][self.cell[1]] == "~":
                chance = self.draw(1)
                if chance >= 1 - slip:
                    action += 1 if chance < 1 - slip / 2 else -1
            down, across = UP_RIGHT_DOWN_LEFT[action % 4]
            row, column = self.cell[0] + down, self.cell[1] + across
            if 0 <= row < len(lines) and 0 <= column < len(lines[0]) and lines[row][column] != "#":
                self.cell = row, column
            letter = lines[self.cell[0]][self.cell[1]]
            return {"G": goal, "X": trap}.get(letter, 0.0) - cost, letter in "GX"

        def see(self):
            return self.cell[0] * len(lines[0]) + self.cell[1]

    return PlainMaze
