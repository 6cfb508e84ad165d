//! Word problems as people type them, right or refused.

use crate::practice::play::play;

#[test]
fn stories_are_answered() {
    for (task, value) in [
        ("Anna has 12 apples, buys 8 more and gives half away. How many are left?", "10"),
        ("Tom buys 3 books at $7 each and 2 pens at $1.50 each. How much does he spend in total?", "24"),
        ("Tom has $50. He buys 3 books at $7 each. How much money does he have left?", "29"),
        ("A ticket costs $12. How much do 5 tickets cost?", "60"),
        ("Tickets cost $12 for adults and $8 for children. How much do 2 adults and 3 children pay?", "48"),
        ("A car travels at 60 km/h for 2.5 hours. How far does it travel?", "150"),
        ("A train covers 180 miles in 3 hours. What is its speed?", "60"),
        ("How long does it take to drive 150 km at 50 km/h?", "3"),
        ("24 cookies are shared equally among 6 kids. How many does each kid get?", "4"),
        ("There are 6 boxes with 12 eggs each. 5 eggs break. How many eggs are left?", "67"),
        (
            "A bus has 30 passengers. At the first stop 8 get off and 5 get on. How many passengers are on the bus now?",
            "27",
        ),
        ("Sara earns $15 an hour and works 8 hours a day for 5 days. How much does she earn?", "600"),
        ("A $80 jacket is 25% off. How much does it cost?", "60"),
        ("A jacket costs $80 and is 25% off. What is the sale price?", "60"),
        (
            "A phone costs $500. It is discounted by 20%, then 8% tax is added. What is the final price?",
            "432",
        ),
        ("John is 12 years old. His sister is 3 years younger. How old is his sister?", "9"),
        ("Maria reads 20 pages a day. How many days does it take her to read 300 pages?", "15"),
        ("A tank holds 500 liters. It leaks 3 liters per hour. How much is left after 10 hours?", "470"),
        ("I had 20 marbles, lost a quarter of them and then found 6. How many do I have?", "21"),
        ("A pizza is cut into 8 slices. 3 friends eat 2 slices each. How many slices are left?", "2"),
        ("If 4 pencils cost $2, how much do 10 pencils cost?", "5"),
        ("A recipe for 4 people needs 200 g of flour. How much flour is needed for 10 people?", "500"),
        (
            "Ben has 3 times as many stickers as Ann. Ann has 14. How many stickers do they have together?",
            "56",
        ),
        ("There are 28 students in a class. 15 of them are girls. How many are boys?", "13"),
        (
            "A baker made 48 muffins. She sold 30 and packed the rest in boxes of 6. How many boxes did she need?",
            "3",
        ),
        (
            "Lisa has 45 stickers and gives 5 to each of her 4 friends. How many stickers does she have left?",
            "25",
        ),
        ("Tom has 3 red and 5 blue marbles. How many marbles does he have?", "8"),
        ("Each of the 5 kids has 4 balloons. How many balloons are there in total?", "20"),
        ("12 friends share a $180 dinner bill equally. How much does each pay?", "15"),
        ("I save $50 a month. How much do I save in a year?", "600"),
        ("Tom has 5 apples and Anna has 7. How many do they have together?", "12"),
        ("Tom has $100 and saves $20 a week. How much money does he have after 6 weeks?", "220"),
        ("How much change do I get from $20 if I buy 3 coffees at $4 each?", "8"),
        ("Each box holds 12 eggs. How many boxes are needed for 72 eggs?", "6"),
        ("A shop sells 15 cakes at $4 each. How much money does it make?", "60"),
        (
            "Peter has 24 sweets. He eats 6 and shares the rest equally with 2 friends. How many does each get?",
            "6",
        ),
        ("Emma has twice as many books as Jack. Jack has 9 books. How many books does Emma have?", "18"),
        ("A rope is 20 meters long. 8 meters are cut off. How long is the rope now?", "12"),
        ("Ben has 10 marbles. Anna gives him 4 more. How many does he have now?", "14"),
        ("A machine makes 40 parts per hour. How many parts does it make in 8 hours?", "320"),
        ("How many minutes are there in 3 hours?", "180"),
        (
            "If a shirt costs $20 and trousers cost $35, how much do 2 shirts and 1 pair of trousers cost?",
            "75",
        ),
        ("Lemons cost 50 cents each. How much do 6 lemons cost?", "300 cents"),
        ("A class of 30 students splits into groups of 5. How many groups are there?", "6"),
        ("What is the total cost of 4 chairs at $25 each?", "100"),
        ("A car uses 6 liters per 100 km. How many liters does it need for 350 km?", "21"),
        ("Maria has 36 photos. She puts 4 photos on each page. How many pages does she need?", "9"),
        ("Jake runs 5 km every day. How many km does he run in 2 weeks?", "70"),
        ("The temperature was 15 degrees and dropped by 8 degrees. What is the temperature now?", "7"),
        (
            "Mike had 25 baseball cards. He gave 7 to his brother and bought a pack of 10. How many cards does he have now?",
            "28",
        ),
        ("A shop has 5 shelves with 20 books on each shelf. 30 books are sold. How many books remain?", "70"),
        ("Jenny has $40. She spends $12.50 on lunch and $8 on a magazine. How much money is left?", "19.5"),
        (
            "A bakery sells muffins for $3 each. On Monday it sold 24 muffins. How much money did it make?",
            "72",
        ),
        ("If a train goes 90 km in one hour, how far does it go in 4 hours?", "360"),
        ("What is the area of a rectangle with length 8 and width 5?", "40"),
        ("What's the perimeter of a square with side 6?", "24"),
        ("There are 15 birds on a tree. 6 fly away. Then 4 more come. How many birds are there?", "13"),
        (
            "Sam has 30 candies. He shares them equally with his 4 friends. How many candies does each person get?",
            "6",
        ),
        ("An apple costs $0.50 and a banana costs $0.25. How much do 4 apples and 6 bananas cost?", "3.5"),
        ("A laptop that costs $1,200 is on sale for 15% off. How much would I pay?", "1020"),
        ("Kate is 8 years old. Her mother is 4 times as old as Kate. How old is her mother?", "32"),
        ("A cyclist rides 45 km in 3 hours. What is his average speed?", "15"),
        ("A garden has 4 rows of 9 tomato plants. 7 plants die. How many are left?", "29"),
        ("A movie ticket is $11 and popcorn is $6. How much do 2 tickets and 1 popcorn cost?", "28"),
        (
            "Paul bought 2 shirts for $18 each and a hat for $12. He paid with a $100 bill. How much change did he get?",
            "52",
        ),
        ("A school has 12 classes with 25 students each. How many students are there?", "300"),
        ("Each student needs 3 notebooks. How many notebooks do 28 students need?", "84"),
        ("A water tank fills at 12 liters per minute. How long does it take to fill 300 liters?", "25"),
        ("Dana reads 15 pages per hour. How many pages does she read in 4 hours?", "60"),
        ("There are 60 minutes in an hour. How many minutes in 5 hours?", "300"),
        ("A car rental costs $40 per day. How much do I pay for a week?", "280"),
        ("Jim has 3 more marbles than Tom. Tom has 12 marbles. How many marbles does Jim have?", "15"),
        ("Lucy has 18 pencils. She gives one third of them to Mark. How many does she have left?", "12"),
        ("How much is a 15% tip on a $60 bill?", "9"),
        ("The price of a bike is $240. It goes up by 10%. What is the new price?", "264"),
        ("Tom drives for 2 hours at 80 km/h and then for 1 hour at 60 km/h. How far does he drive?", "220"),
        ("I have 100 dollars. I want to buy shoes for 65 dollars. How much will I have left?", "35"),
        ("If 5 kg of potatoes cost $10, what is the price per kg?", "2"),
        (
            "A box contains 48 chocolates. If 8 children share them equally, how many does each child get?",
            "6",
        ),
        ("Split $90 among 3 people", "30"),
        ("How many hours are there in 3 days?", "72"),
        ("How many apples do I have if I have 5 and buy 7 more?", "12"),
        ("A farmer plants 8 rows of 12 trees. How many trees does he plant?", "96"),
        ("Two friends have 14 and 9 stickers. How many stickers do they have in total?", "23"),
        ("A restaurant bill of $120 is split equally between 4 people. How much does each person pay?", "30"),
        ("Anna had 50 euros, spent 20 on food and 15 on a book. How much money does she have left?", "15"),
        ("A factory makes 250 toys a day. How many toys does it make in 30 days?", "7500"),
        ("John walks 3 miles each day. How many miles does he walk in a week?", "21"),
        ("There are 24 boys and 18 girls in a club. How many children are in the club?", "42"),
        (
            "The train leaves with 120 passengers. At the next station 35 get off and 20 get on. How many passengers are there now?",
            "105",
        ),
        ("My rent is $800 a month. How much rent do I pay in a year?", "9600"),
        ("Sam earns 12 dollars per hour. Last week he worked 35 hours. How much did he earn?", "420"),
        ("There are 3 bags with 8 apples in each bag. Tim eats 4 apples. How many apples are left?", "20"),
        ("A shirt costs 25 dollars. How much would 4 shirts cost with a 10% discount?", "90"),
        ("What is the price of 3 kg of cheese at $14 per kg?", "42"),
        ("I want to split 56 chocolates equally between 7 children. How many will each child receive?", "8"),
        ("In a parking lot there are 18 cars and 7 motorcycles. How many vehicles are there?", "25"),
        ("Lena is 9 years old. Her brother is twice as old. How old is her brother?", "18"),
        ("Lena is 9. Her brother is 4 years older. How old is he?", "13"),
        ("Ken collected 45 shells. He gave 12 to Mia and 8 to Leo. How many shells does he have now?", "25"),
        ("A cinema has 20 rows with 15 seats each. How many seats does it have?", "300"),
        ("A bottle holds 2 liters. How many liters do 12 bottles hold?", "24"),
        ("If one pizza has 8 slices, how many slices are in 5 pizzas?", "40"),
        ("Tina reads 12 pages every day. How many pages does she read in 3 weeks?", "252"),
        ("A farmer collects 96 eggs and puts them in boxes of 12. How many boxes does he fill?", "8"),
        ("The bill was $80 and we left a 20% tip. How much did we pay in total?", "96"),
        ("A car drives 240 km using 16 liters of fuel. How many km per liter is that?", "15"),
        (
            "Bob has $20. He buys 4 pens for $2 each and a notebook for $5. How much money does he have left?",
            "7",
        ),
        (
            "There were 50 people at a party. 18 left early and 7 arrived late. How many people were at the party at the end?",
            "39",
        ),
        (
            "Alex has 15 apples. He gives 3 apples to each of his 4 friends. How many apples does he have left?",
            "3",
        ),
        ("I have 3 boxes of 24 crayons and 2 boxes of 12 crayons. How many crayons do I have?", "96"),
        ("Mary has 4 cats and 3 dogs. How many pets does she have?", "7"),
        ("A plane flies at 900 km per hour. How long does it take to fly 4500 km?", "5"),
        ("Jenny saves $15 every week. How many weeks does it take her to save $180?", "12"),
        ("Convert 5 km to meters", "5000"),
        ("How many seconds are in 2 minutes?", "120"),
        ("Tom weighs 80 kg and loses 5 kg. How much does he weigh now?", "75"),
        ("Pencils cost $0.30 each. How many pencils can I buy with $6?", "20"),
        ("A store had 200 shirts. It sold 45% of them. How many shirts are left?", "110"),
        ("The temperature is 12 degrees and rises by 9 degrees. What is the temperature now?", "21"),
        ("Four friends share 3 pizzas cut into 8 slices each. How many slices does each friend get?", "6"),
        (
            "I have 5 times as many stamps as my brother. My brother has 13 stamps. How many stamps do I have?",
            "65",
        ),
        ("How many days are there in 6 weeks?", "42"),
        ("Dan buys a book for $12 and a pen for $3. How much does he spend?", "15"),
        ("Nina picked 24 strawberries and ate a quarter of them. How many are left?", "18"),
        ("A hotel has 8 floors with 14 rooms on each floor. How many rooms are there in the hotel?", "112"),
        ("There are 9 benches in a park and 4 people sit on each bench. How many people are sitting?", "36"),
        ("Max has $75. He buys a game for $39.99. How much money is left?", "35.01"),
        ("The bus ticket costs 3 euros. How much do 20 tickets cost?", "60"),
        ("Emily has 16 crayons. Her friend gives her 9 more. How many crayons does she have now?", "25"),
        ("Jack is 15 years old. How old will he be in 7 years?", "22"),
        ("A train travels 320 km in 4 hours. How fast is it?", "80"),
        ("A car goes 50 mph. How far does it go in 3 hours?", "150"),
        ("How much will 6 sandwiches cost if each sandwich costs $4.50?", "27"),
        ("If I buy 2 coffees at $3.50 each and pay with a $10 bill, how much change do I get?", "3"),
        ("A TV costs $600 and is reduced by 30%. What does it cost now?", "420"),
        (
            "Liam scored 12 points in the first game and 19 points in the second game. How many points did he score in total?",
            "31",
        ),
        ("A car uses 7 liters of gas per 100 km. How many liters does it need for 450 km?", "31.5"),
        ("A gardener plants 6 rows of 15 flowers. 20 flowers die. How many flowers are left?", "70"),
        ("My phone bill is $45 a month. How much do I pay per year?", "540"),
        ("How many km do I run in a week if I run 5 km a day?", "35"),
        ("A store sells apples at $2 per kg. How much do 3.5 kg cost?", "7"),
        ("Three friends earn $240 and split it equally. How much does each get?", "80"),
        ("A book has 320 pages. I read 40 pages a day. How many days do I need?", "8"),
        ("I have twice as many pens as Sara. Sara has 7 pens. How many pens do we have altogether?", "21"),
        ("A box weighs 12 kg. How much do 5 boxes weigh?", "60"),
        ("Ella had 60 stamps. She gave 1/4 of them to her cousin. How many stamps does she have left?", "45"),
        ("If you have 8 apples and you take away 3, how many apples do you have?", "5"),
        ("I have a dozen eggs and use 5. How many are left?", "7"),
        ("Ryan has 5 dollars more than Kim. Kim has 18 dollars. How much money does Ryan have?", "23"),
        ("What is the average of 10, 20, 30 and 40?", "25"),
        ("How many people can sit at 7 tables if each table seats 6 people?", "42"),
        ("I spend 2 hours a day on homework. How many hours is that in a 5 day week?", "10"),
    ] {
        let played = play(task, &[]);
        assert!(
            played.answer.starts_with(&format!("{value} = ")),
            "{task}: expected {value}, got {}",
            played.answer
        );
        assert!(played.steps <= 10, "{task} took {} steps", played.steps);
    }
}

#[test]
fn the_one_number_that_a_story_leaves_out_is_asked_for() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("How much do 3 tickets cost?", &["12.50"], "37.5"),
        ("How much do 3 tickets cost?", &["no idea", "$9"], "27"),
        ("I bought 5 notebooks. How much did I spend?", &["2"], "10"),
        ("How far do I get in 3 hours?", &["80"], "240"),
        ("How long does it take to drive 300 km?", &["100 km/h"], "3"),
        ("I have some apples and buy 5 more. How many apples do I have?", &["7"], "12"),
        ("Anna has apples and buys 5 more. How many apples does she have?", &["4"], "9"),
        ("24 cookies are shared among my friends. How many does each get?", &["8"], "3"),
        ("The sum of my age and 10", &["25"], "35"),
        ("How old will I be in 12 years?", &["30"], "42"),
        ("My brother is 5 years older than me. How old is he?", &["20"], "25"),
        ("How many legs do 6 spiders have?", &["8"], "48"),
        ("How much does it cost to fill a 50 liter tank?", &["1.80"], "90"),
        ("How many pages do I read in 14 days?", &["20"], "280"),
        ("What do 4 pizzas cost?", &["8"], "32"),
        ("How many wheels do 9 cars have?", &["4"], "36"),
        ("How much do I earn in 6 hours?", &["20"], "120"),
        ("How much is 3 times my rent?", &["650"], "1950"),
        ("Split the bill among 4 people", &["120"], "30"),
        ("What is 30% off my total?", &["90"], "63"),
        ("How many bottles do I need for 24 liters?", &["2"], "12"),
        ("What is 25% of my salary?", &["4000"], "1000"),
        ("I want to divide my savings by 3", &["900"], "300"),
        ("Subtract 15 from my weight", &["82.5"], "67.5"),
        ("What do I get if I add 12 to my age?", &["30"], "42"),
        ("The difference between my age and 18", &["45"], "27"),
    ];
    for (task, answers, value) in cases {
        let played = play(task, answers);
        assert!(
            played.answer.starts_with(&format!("{value} = ")),
            "{task}: expected {value}, got {}",
            played.answer
        );
        assert_eq!(played.asked.len(), answers.len(), "{task}: {:?}", played.asked);
        assert!(played.steps <= 10, "{task} took {} steps", played.steps);
    }
}

#[test]
fn the_working_is_shown_and_the_question_is_sensible() {
    let played = play("Anna has 12 apples, buys 8 more and gives half away. How many are left?", &[]);
    assert_eq!(played.answer, "10 = (12 + 8) ÷ 2 (practice model)");
    for (task, question) in [
        ("How much do 3 tickets cost?", "What does one ticket cost?"),
        ("How far do I get in 3 hours?", "What is the speed, in kilometers per hour?"),
        ("How long does it take to drive 300 miles?", "What is the speed, in miles per hour?"),
        (
            "Anna has some apples and buys 5 more. How many does she have?",
            "How many apples does Anna have at first?",
        ),
        ("24 cookies are shared among my friends. How many does each get?", "How many friends are there?"),
        ("How old will I be in 12 years?", "How old are you?"),
    ] {
        assert_eq!(play(task, &["10"]).asked, [question], "{task}");
    }
}

/// Better no answer than a wrong one: riddles, equations in disguise, numbers that mean something else.
#[test]
fn what_is_not_understood_to_the_last_number_is_refused() {
    for task in [
        "A farmer has 17 sheep and all but 9 die. How many are left?",
        "If 3 workers build a wall in 12 days, how long do 6 workers need?",
        "A bat and a ball cost $1.10 in total. The bat costs $1 more than the ball. How much does the ball cost?",
        "If it takes 5 machines 5 minutes to make 5 widgets, how long would it take 100 machines to make 100 widgets?",
        "Tom has 5 apples. How many oranges does he have?",
        "Tom has 5 apples and Anna has 7 pears. How many plums does Ben have?",
        "Anna is 5 years older than Ben. Together they are 25. How old is Ben?",
        "A snail climbs 3 meters a day and slips 2 meters at night. How many days to climb a 10 meter wall?",
        "There are 20 students. 12 play soccer and 10 play chess. How many play both?",
        "A train leaves at 3:00 and arrives at 5:30. How long is the trip?",
        "There are 5 red balls, 3 blue balls and 2 green balls. How many balls are not red?",
        "Carl had some money. He spent $15 and has $20 left. How much did he have at first?",
        "What day is it in 3 days?",
        "In 1990 there were 12 houses. Who lived in them?",
        "How many apples?",
        "Anna has 12 apples. She juggles 3 apples in 2 rooms. How many apples did Ben paint in 1999?",
    ] {
        let played = play(task, &[]);
        assert!(played.answer.starts_with("I don't understand"), "{task}: {}", played.answer);
    }
}
