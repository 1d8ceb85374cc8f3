// Words by which names are guessed where no model for names is plugged in: frequent given names and
// family names of the countries that are covered, and places. What is not here is found only after
// a title, a greeting, or words like "my name is".

const list = (text: string): string[] => text.trim().split(/\s+/)

/** Frequent given names, lower case. */
export const givenNames = list(`
aaron abdul abdullah abigail adam adele adrian adriana agata agnes agnieszka ahmad ahmed aino aisha
alan alba albert alberto aleksander aleksandra alessandra alessandro alessia alex alexander
alexandra alexandre alexis alfred ali alice alicia alina alison allison alma amanda amelia amina
amir amit amy ana anders andrea andreas andrei andrew andrzej angela anette angelika anika anita
anja ann anna annalisa anne anneli annette annika anthony antje antoine anton antonia antonio antti
anya aoife arjun arne arnaud arthur arturo ashley astrid audrey aurora aurélie axel ayesha barbara
bart bartosz beata beatrice beatriz ben benedikt benjamin benoît bernadette bernard bernd bernhard
bettina birgit birgitta björn boris brandon brenda brian brigitte britta bruno caitlin camille
cameron carina carl carla carlo carlos carmen carolin carolina caroline carolyn caspar catarina
catherine cathy cecilia cédric charles charlotte chiara chloe chloé christian christiane christina
christine christoph christophe christopher claire clara claudia claus clémence clément colin connor
conor corinna cornelia cristina cynthia cyril dagmar damien daniel daniela daniele danielle danuta
dariusz david davide deborah denise dennis derek diana diane diego dieter dimitri dirk dmitri dmitry
dominik dominique donald donna doris dorota dorothea dorothy douglas duarte eamon edith eduardo
edward eeva eija eileen elaine eleanor elena eleonora eleni elias eliane elisa elisabeth elizabeth
elke ella ellen elsa emeline emil emilia emilie emily emma emmanuel enrico eric erica erik erika
ernst esteban esther ethan eugene eva evelyn evgeny ewa fabian fabien fabio fatima federica federico
felicity felix femke fernanda fernando filip filipa finn fiona flora florence florian frances
francesca francesco francine francis francisco franco françois françoise franz fred frederic
frederick frederik freya friedrich gabriel gabriela gabriele gabriella gaël gareth gary geert georg
george georgia gerald gerard gerd gerhard gert giacomo gianluca gianni gilles gina giorgio giovanna
giovanni gisela giulia giuseppe gloria gonçalo gordon grażyna greg gregory greta grzegorz gudrun
guido guillaume guillermo gunnar gunther gustav guy gwen halina hanna hannah hannele hannes hans
harald harold harry hassan heather heidi heike heiko hein heinrich heinz helen helena helene helga
helmut hendrik henri henrik henry herbert hermann hilda hiroshi holger horst howard hubert hugh hugo
hussein ibrahim ida ignacio igor ilaria ilona ilse imran ines inga inge ingeborg ingrid inês irena
irene iris irina irma isabel isabella isabelle isla ivan ivana iwona jaakko jacek jack jackie jacob
jacqueline jacques jadwiga jakob jakub jamal james jamie jan jana jane janet janice janina janine
janne jari jarosław jasmin jason javier jean jeanne jeff jeffrey jelena jennifer jenny jens jeremy
jeroen jerome jerry jerzy jessica jessie jesús jill jim joachim joan joana joanna joanne joão jochen
joe joel joëlle johan johanna johannes john johnny jolanta jonas jonathan joost jordan jorge jorma
josé josef josefa joseph josephine joshua joyce juan juana juha juhani jukka jules julia julian
juliana julie julien juliette julio julius justin jutta jörg jörn józef jürgen kaisa kamil karel
karen kari karin karina karl karla karolina karsten kasper katarina katarzyna kate katharina
katherine kathleen kathryn kathy katie katja katrin kaylee keith kelly ken kenji kenneth kerstin
kevin khaled kim kimberly kirsten kirsi kirsty klaus koen konrad konstantin kristen kristian kristin
kristina kristof krystyna krzysztof kurt kyle lars larissa larry lasse laura lauren laurence laurent
lea leah leila lena lennart leo leon leonard leonardo leonie leonor leszek leticia lewis liam lidia
liisa lilian liliana lilly lina linda lindsay lisa liselotte lisbeth logan lorena lorenz lorenzo
lothar lotta lotte louis louisa louise luc luca lucas lucia lucía luciano lucie lucy ludovic ludwig
luigi luis luisa luise luís lukas łukasz luke luna lydia lynn maarten maciej madeleine madison magda
magdalena magnus mahmoud maja malcolm małgorzata manfred manon manuel manuela mara marc marcel
marcella marcelo marcin marco marcos marcus marek margaret margarida margarita margit margot
marguerite maria mariam marian mariana marianne marie marielle marija marika marijke marina mario
marion marisa marius mariusz marjatta marjo marjorie mark markku marko markus marlene marta martha
martijn martin martina martine marvin mary mateo mateusz mathias mathieu mathilde matilda matilde
matt matteo matthew matthias matthieu matti mattias maureen maurice mauro max maxime maximilian
małgosia megan mehmet melanie melissa mercedes meredith merja mia michael michaela michał michel
michele michelle miguel mika mikael mike mikko milan milena mira miranda mireille miriam miroslav
mirosław mohamed mohammad mohammed moira mona monica monika monique morgan moritz muhammad murielle
mustafa myriam nadia nadine nancy naomi natacha natalia natalie nataliya natasha nathalie nathan
neil nele nicholas nick nico nicola nicolas nicole niels niklas nikola nikolai nikolas nils nina
noah noel noelia noémie nora norbert norma nuno odile ola olaf oleg olga olivia oliver olivier omar
ornella oscar oskar oksana otto outi owen pablo pamela paola paolo pascal pascale patricia patricio
patrick patrik patrycja paul paula pauline paulo pavel paweł pedro peggy pekka pentti per pernilla
peter petra petri philip philipp philippe philippa phoebe pia pierre pieter piet pietro pilar piotr
priya przemysław päivi quentin rachel radosław rafael rafał rahul raimund rainer rajesh ralf ralph
ramon ramona raphael raquel rasmus raul rauno ravi raymond rebecca regina regine reinhard reiner
renata renate renaud rené renée reyes rhys riccardo richard riitta rita robert roberta roberto robin
rocío rodrigo roger roland rolf roman romain ron ronald ronja rosa rosalie rosario rosemarie
roswitha roxane roy rudolf rui rupert russell ruth ryan ryszard sabine sabrina salma salvatore sam
samantha sami samir samuel sandra sanjay sandrine sanna santiago sara sarah sascha scott sean
sebastian sébastien selma serena serge sergei sergey sergio seán shannon sharon shaun sheila shirley
siegfried siiri silke silvia silvana simon simona simone sinéad siobhan sofia sofie solange sonia
sonja sophia sophie stacey stanisław stefan stefania stefanie stefano steffen stella stephan
stephane stéphane stephanie stephen sten steve steven stina stuart sunita susan susana susanna
susanne suzanne sven svetlana sylvain sylvia sylvie sylwia szymon tadeusz tamara tania tanja tapio
tara tatiana tatjana teemu teresa terhi terry tessa thea theo theodor theresa thérèse thibault
thierry thomas thorsten tiago tiina tilman tim timo timothy tina tobias todd tom tomasz tomás
tommaso toni tony torsten tracy trevor tristan troy tuomas tyler ulla ulrich ulrike urs ursula
urszula uta ute uwe vaclav valentin valentina valentine valeria valerie valérie vanessa vera
veronica veronika véronique vesa victor victoria vikram viktor viktoria ville vincent vincenzo viola
violeta virginia virginie virpi vittorio vivian viviane vladimir volker vítor walter waltraud wanda
wayne wendy werner wesley wiebke wilfried wilhelm willem william wioletta wojciech wolfgang wouter
xavier yannick yasmin yolanda youssef yuki yusuf yves yvette yvonne zahra zbigniew zoe zofia zoltan
zuzanna álvaro ángel ángela émile éric étienne özgür
`)

/** Given names that are words, months or places as well: they count only beside a family name. */
export const doubtfulNames = list(`
angel april art august bill blake brook brooke carter chance chase chelsea china christ clay cliff
daisy dale dan dawn dean drew earl faith florida frank gene glen grace grant heaven holly hope
hunter iris ivy jade jasmine jordan joy june kit lane lily lincoln mark mason may melody mercy miles
nick olive paris pat patience pearl penny phoenix pierce ray reed rich rob robin rod rose ruby rusty
sage sally savannah skip star sterling sue summer sydney ted trinity van victor virginia wade ward
will wolf dolores pilar rosa luna alba mercedes santiago sara marina paz sol max pia petra jan jean
mai guy said dick harry carol berg stein georgia austin dallas florence vienna lee roman
`)

/** Family names that are words as well: they say nothing of the word before them. */
export const doubtfulFamilies = list(`
baker barnes bell berger blanc braun brooks brown butler campbell carter castro clarke collins cook
cooper costa cruz foster fontana fox franco gallo gibson graham graf gray green griffin hall
hamilton hill horn jackson jordan jung kaiser king klein koch lane long lima mason mayer miller
moreno morgan moore murray nelson page palmer parker petit pinto porter powell power price ramos
reed reis rice roman roy sanders santos schwarz scott silva simon smith sousa stone taylor turner
van vega vogt walker wallace ward washington watson weber weiss west white winter wolff wood wright
young richter jäger kumar long lin li chen
`)

/** Frequent family names, lower case. */
export const familyNames = list(`
adams ahmed alexander ali allen almeida alonso alvarez álvarez anderson andersen andersson andersson
andrade antunes bailey baker bakker barnes bauer baumann beck becker bell bennett benoît berger
bergström bernard bertrand bianchi blanc bonnet boyer braun brooks brown bruno bryant butler
campbell carlsson carter carvalho castro chen clark clarke colombo cook cooper correia costa cox
cruz dahl davies davis dekker delgado díaz diaz dietrich dijkstra dubois dupont durand dąbrowski
edwards eklund engel eriksson esposito evans faure fernandes fernandez fernández ferrari ferreira
fischer flores foster fontana fournier fox franke friedrich fuchs gallo garcia garcía garnier
gauthier gibson girard giordano gomes gomez gómez gonzales gonzalez gonzález gonçalves graham graf
gray greco green griffin guerin gupta gustafsson gutierrez gutiérrez günther haas hahn hall hamilton
hansen hansson harris harrison hartmann hayes heikkinen heinrich hendriks henry herman hernandez
hernández herrmann hill hoffmann hofmann horn howard huber hughes hämäläinen ivanov jackson jacobs
jacobsson jankowski jansen janssen jansson jenkins jensen johansson johnson jones jonsson jung
järvinen kaczmarek kaiser kamiński karlsson kaur keller kelly khan kim king klein koch koskinen
kowalczyk kowalski kozłowski kraus krause krawczyk krüger kumar kühn laaksonen laine lambert larsen
larsson lawrence lefebvre lefèvre lehmann lehtonen leroy lewandowski lewis li lima lin lindberg
lindgren lindqvist lombardi long lopes lopez lópez ludwig magnusson maier mancini marchand marino
marques martin martinez martínez martins mason masson mayer mcdonald mehta meier mendes mercier
meyer michel miller mitchell molina monteiro moore morales moreau morel moreno moretti morgan morris
muller murphy murray muñoz mäkelä mäkinen müller navarro nelson neumann nguyen nieminen nilsson
novak nowak nowakowski nunes nyström o'brien o'connor oliveira olsen olsson ortega ortiz otto owens
parker patel patterson pawłowski pereira perez pérez perrin persson peters peterson petersen petit
petrov pettersson phillips pinto piotrowski popov powell price pohl ramirez ramírez ramos rao reed
reis reyes reynolds ribeiro ricci richard richards richardson richter rivera rizzo robert roberts
robinson rodrigues rodriguez rodríguez rogers romano romero ross rossi roth rousseau roux roy ruiz
russell russo ryan rybak salminen sanchez sánchez sanders santos sato sauer schäfer schmid schmidt
schmitt schmitz schneider scholz schreiber schröder schulte schulz schulze schumacher schuster
schwarz scott serrano sharma shah silva simon simmons singh smirnov smit smith sousa stewart suzuki
svensson szymański sørensen tanaka taylor teixeira thomas thompson torres tran turner turunen van
vargas vasquez vázquez vega vincent virtanen visser vogel vogt vos wagner walker wallace walter wang
ward watson weber weiss werner white williams williamson wilson winkler winter wójcik wolff wong
wood woźniak wright wu xu yang yilmaz young zhang zieliński zimmermann
`)

/** Large cities and the countries that are covered, lower case, one word each. */
export const places = list(`
aachen aberdeen alicante amsterdam antwerp antwerpen athens atlanta austria barcelona basel beijing
belfast belgium berlin bern bielefeld bilbao birmingham bochum bologna bonn bordeaux boston
bratislava bremen brisbane bristol brno bruges brussels bruxelles budapest cardiff catania charlotte
chicago coimbra cologne copenhagen cork dallas denver deutschland dortmund dresden dublin duisburg
düsseldorf edinburgh eindhoven españa espoo essen finland firenze florence france frankfurt freiburg
gdańsk geneva genève genova germany ghent glasgow gothenburg granada graz grenoble groningen
göteborg haarlem hamburg hannover heidelberg helsinki houston innsbruck ireland istanbul italia
italy karlsruhe katowice kiel krakow kraków köln lausanne leeds leicester leiden leipzig liège lille
linz lisboa lisbon liverpool ljubljana london lublin lyon madrid mainz malmö manchester mannheim
marseille melbourne miami milan milano montpellier montreal moscow mumbai munich murcia málaga
münchen münster nantes napoli netherlands newcastle nice nottingham nürnberg oslo oxford palermo
paris philadelphia phoenix poland polska porto portugal potsdam poznań prague rennes rome roma
rotterdam rouen salzburg seattle sevilla seville sheffield singapore spain stockholm strasbourg
stuttgart sweden sydney szczecin tampere tokyo torino toronto toulouse turin turku uppsala utrecht
valencia valladolid venice verona vienna warsaw warszawa wien wrocław wuppertal york zaragoza zürich
łódź
`)
